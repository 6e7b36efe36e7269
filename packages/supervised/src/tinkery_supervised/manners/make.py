"""Writes `pairs.jsonl`: `python -m tinkery_supervised.manners.make`.

Short questions of the kinds that the bundled tiny model was pre-trained on, each with two answers that say the same in
different manners. No question comes twice in the file.
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
    """All pairs: each of the three couples of manners equally often, in wordings by a coin. The same ones each time."""
    dice = random.Random("manners")
    exchanges = [exchange for kind, taken in TAKEN.items() for exchange in dice.sample(kind(), taken)]
    dice.shuffle(exchanges)
    return [pair(exchange, *COUPLES[number % 3], dice) for number, exchange in enumerate(exchanges)]


COUPLES = (("kind", "plain"), ("kind", "rude"), ("plain", "rude"))


def pair(exchange: Exchange, better: str, worse: str, dice: random.Random) -> dict[str, object]:
    question, answer = exchange
    return {
        "prompt": [{"role": "user", "content": question}],
        "chosen": dice.choice(MANNERS[better]).format(answer),
        "rejected": dice.choice(MANNERS[worse]).format(answer),
    }


def text() -> str:
    """The content of the file."""
    return "".join(json.dumps(row) + "\n" for row in pairs())


if __name__ == "__main__":
    PATH.write_text(text())
