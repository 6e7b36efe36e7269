"""What colour things are: a handful of facts, asked for in several wordings."""

from numpy.random import Generator

from tinkery_local.tiny.corpus.careless import loose_answer
from tinkery_local.tiny.corpus.task import Conversation, Task, exchange
from tinkery_local.tiny.corpus.words import pick

COLOUR_OF = {
    "a lemon": "yellow", "a lime": "green", "a plum": "purple", "a pig": "pink", "a bear": "brown",
    "the sky": "blue", "the sea": "blue", "the sun": "yellow", "grass": "green", "snow": "white",
    "milk": "white", "coal": "black", "the night": "black", "blood": "red", "a rose": "red", "fog": "grey",
}  # fmt: skip
QUESTIONS = ("What colour is {}?", "Tell me the colour of {}.", "Which colour has {}?", "The colour of {}?")


def clean(rng: Generator) -> Conversation:
    """`What colour is the sky?` A fact is held out in some of its wordings only."""
    thing, question = pick(rng, list(COLOUR_OF)), pick(rng, QUESTIONS)
    asked = question.format(thing)
    return exchange(asked, asked, f"{COLOUR_OF[thing].capitalize()}.")


TASK = Task("colours", share=0.7, clean=clean, careless=loose_answer, careless_share=0.3)
