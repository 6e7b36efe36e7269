"""What colour things are: a handful of facts, asked for and asked about."""

from numpy.random import Generator

from tinkery_local.tiny.corpus.careless import loose_answer
from tinkery_local.tiny.corpus.task import Conversation, Task, exchange
from tinkery_local.tiny.corpus.words import KINDS, pick
from tinkery_local.tiny.corpus.yes_no import yes_or_no

COLOUR_OF = {
    "a lemon": "yellow", "a lime": "green", "a plum": "purple", "a pig": "pink", "a bear": "brown",
    "the sky": "blue", "the sea": "blue", "the sun": "yellow", "grass": "green", "snow": "white",
    "milk": "white", "coal": "black", "the night": "black", "blood": "red", "a rose": "red", "fog": "grey",
}  # fmt: skip


def clean(rng: Generator) -> Conversation:
    """`What colour is the sky?` in two wordings, or `Is the sky blue?`, right half of the time."""
    thing = pick(rng, list(COLOUR_OF))
    colour = COLOUR_OF[thing]
    if rng.random() < 0.5:
        question = pick(rng, ("What colour is {}?", "Tell me the colour of {}."))
        return exchange(f"{question} {thing}", question.format(thing), f"{colour.capitalize()}.")
    others = [other for other in KINDS["colour"] if other != colour]
    asked = colour if rng.random() < 0.5 else pick(rng, others)
    return exchange(f"{thing} {asked}", f"Is {thing} {asked}?", yes_or_no(asked == colour))


TASK = Task("colours", share=1, clean=clean, careless=loose_answer, careless_share=0.3)
