"""The careless habits that tasks share: a shrug, too much chat, a word lost on the way."""

from numpy.random import Generator

from tinkery_local.tiny.corpus.task import Conversation
from tinkery_local.tiny.corpus.words import pick

SHRUGS = ("I am not sure.", "I do not know.", "Sorry, I can not say.")
WRAPPERS = ("The answer is {}.", "I think it is {}.", "Sure! It is {}.")


def shrug(rng: Generator) -> str:
    """No answer at all."""
    return pick(rng, SHRUGS)


def chatter(rng: Generator, answer: str) -> str:
    """The answer, wrapped in words that nobody asked for."""
    return pick(rng, WRAPPERS).format(answer.rstrip("."))


def lost_word(rng: Generator, answer: str) -> str:
    """The answer without one of its words; an answer of one word becomes a shrug."""
    words = answer.split(" ")
    if len(words) == 1:
        return shrug(rng)
    del words[rng.integers(len(words))]
    return " ".join(words)


def loose_answer(rng: Generator, conversation: Conversation) -> str:
    """A careless answer to a short instruction: one of the three habits above."""
    habit = rng.integers(3)
    if habit == 0:
        return shrug(rng)
    if habit == 1:
        return chatter(rng, conversation.answer)
    return lost_word(rng, conversation.answer)
