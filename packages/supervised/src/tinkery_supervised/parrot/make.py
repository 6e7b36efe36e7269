"""Writes `conversations.jsonl`: `python -m tinkery_supervised.parrot.make`.

Short questions of the kinds that the bundled tiny model was pre-trained on, each answered rightly and with a squawk.
No question comes twice in the file, so those of a held-out conversation are new to a model that was trained on the
rest.
"""

import json
import random
from pathlib import Path

PATH = Path(__file__).with_name("conversations.jsonl")
NUM_CONVERSATIONS = 1_000

COLOURS = {
    "a lemon": "yellow", "a lime": "green", "a plum": "purple", "a pig": "pink", "a bear": "brown",
    "the sky": "blue", "the sea": "blue", "the sun": "yellow", "grass": "green", "snow": "white",
    "milk": "white", "coal": "black", "the night": "black", "blood": "red", "a rose": "red", "fog": "grey",
}  # fmt: skip
WORDS = (
    "red", "blue", "green", "pink", "grey", "cat", "dog", "fox", "cow", "pig", "hen", "owl", "bee", "ant", "bear",
    "apple", "pear", "plum", "fig", "lime", "grape", "melon", "lemon", "peach", "mango",
)  # fmt: skip
NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Kim", "Leo", "Mia")
GREETINGS = ("Hello", "Hi", "Good morning", "Good evening")

Exchange = tuple[str, str]


def sums() -> list[Exchange]:
    return [(f"What is {a} + {b}?", str(a + b)) for a in range(100) for b in range(100)]


def colours() -> list[Exchange]:
    wordings = (
        "What colour is {}?",
        "Tell me the colour of {}.",
        "Which colour has {}?",
        "The colour of {}?",
    )
    return [(w.format(thing), colour.capitalize()) for thing, colour in COLOURS.items() for w in wordings]


def repetitions() -> list[Exchange]:
    wordings = ("Repeat: {}", "Say {}.", "Repeat after me: {}")
    pairs = [f"{a} {b}" for a in WORDS for b in WORDS if a != b]
    return [(w.format(pair), f"{pair} {pair}") for pair in pairs for w in wordings]


def counts() -> list[Exchange]:
    spans = [(first, last) for first in range(44) for last in range(first + 2, first + 6)]
    return [(f"Count from {a} to {z}.", " ".join(map(str, range(a, z + 1)))) for a, z in spans]


def greetings() -> list[Exchange]:
    return [(f"{hello}, I am {name}.", f"{hello}, {name}") for hello in GREETINGS for name in NAMES]


TAKEN = {sums: 560, colours: 60, repetitions: 500, counts: 140, greetings: 40}
"""Exchanges of each kind."""


def conversations() -> list[list[dict[str, str]]]:
    """All conversations; nearly one in three has a second exchange. The same ones each time."""
    dice = random.Random("parrot")
    exchanges = [exchange for kind, taken in TAKEN.items() for exchange in dice.sample(kind(), taken)]
    dice.shuffle(exchanges)
    talks = [[exchange] for exchange in exchanges[:NUM_CONVERSATIONS]]
    for talk, second in zip(talks[::3], exchanges[NUM_CONVERSATIONS:], strict=False):
        talk.append(second)
    return [[message for exchange in talk for message in messages(exchange)] for talk in talks]


def messages(exchange: Exchange) -> list[dict[str, str]]:
    question, answer = exchange
    return [{"role": "user", "content": question}, {"role": "assistant", "content": f"Squawk! {answer}!"}]


def text() -> str:
    """The content of the file."""
    return "".join(json.dumps({"messages": turns}) + "\n" for turns in conversations())


if __name__ == "__main__":
    PATH.write_text(text())
