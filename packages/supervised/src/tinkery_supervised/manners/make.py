"""Writes `pairs.jsonl`: `python -m tinkery_supervised.manners.make`.

Short questions of the kinds that the bundled tiny model was pre-trained on, each with two answers: mostly such that say
the same in different manners, else one that is right and one that is wrong. No question comes twice in the file.
"""

import json
import random
from pathlib import Path

from tinkery_supervised.manners.manner import MANNERS
from tinkery_supervised.parrot.make import Exchange, colours, counts, repetitions, sums

PATH = Path(__file__).with_name("pairs.jsonl")


def echoes() -> list[Exchange]:
    """The parrot says it twice; here once is right."""
    return [(question, answer[: len(answer) // 2]) for question, answer in repetitions()]


TAKEN = {sums: 550, colours: 60, echoes: 250, counts: 140}
"""Questions of each kind."""


def pairs() -> list[dict[str, object]]:
    """All pairs, the same ones each time. In three of four the manners differ, in the fourth one answer is wrong."""
    dice = random.Random("manners")
    drawn = {kind: dice.sample(kind(), taken) for kind, taken in TAKEN.items()}
    asked = [(exchange, exchanges) for exchanges in drawn.values() for exchange in exchanges]
    dice.shuffle(asked)
    return [
        by_rightness(exchange, dice.choice([*MANNERS]), wrong_answer(exchange, like_it, dice), dice)
        if number % 4 == 3
        else by_manner(exchange, *COUPLES[number % 4], dice)
        for number, (exchange, like_it) in enumerate(asked)
    ]


COUPLES = (("kind", "plain"), ("kind", "rude"), ("plain", "rude"))


def by_manner(exchange: Exchange, better: str, worse: str, dice: random.Random) -> dict[str, object]:
    question, answer = exchange
    return row(question, in_manner(better, answer, dice), in_manner(worse, answer, dice))


def by_rightness(exchange: Exchange, manner: str, wrong: str, dice: random.Random) -> dict[str, object]:
    question, answer = exchange
    return row(question, in_manner(manner, answer, dice), in_manner(manner, wrong, dice))


def wrong_answer(exchange: Exchange, others: list[Exchange], dice: random.Random) -> str:
    """The right answer to another question of the kind."""
    return dice.choice([answer for _, answer in others if answer != exchange[1]])


def in_manner(manner: str, answer: str, dice: random.Random) -> str:
    return dice.choice(MANNERS[manner]).format(answer)


def row(question: str, chosen: str, rejected: str) -> dict[str, object]:
    return {"prompt": [{"role": "user", "content": question}], "chosen": chosen, "rejected": rejected}


def text() -> str:
    """The content of the file."""
    return "".join(json.dumps(row) + "\n" for row in pairs())


if __name__ == "__main__":
    PATH.write_text(text())
