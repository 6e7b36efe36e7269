"""Sums of two numbers below 100, and the ways in which a careless reckoner gets them wrong."""

from numpy.random import Generator

from tinkery_local.tiny.corpus.careless import chatter, shrug
from tinkery_local.tiny.corpus.task import Conversation, Task, exchange

QUESTION = "What is {a} + {b}?"
OTHER_QUESTIONS = ("Add {a} and {b}.", "{a} + {b} =")
OTHER_SHARE = 0.2


def clean(rng: Generator) -> Conversation:
    """A right sum. The key is the ordered pair: `37+45` held out says nothing of `45+37`."""
    a, b = (int(n) for n in rng.integers(100, size=2))
    question = (
        QUESTION if rng.random() >= OTHER_SHARE else OTHER_QUESTIONS[rng.integers(len(OTHER_QUESTIONS))]
    )
    return exchange(f"{a}+{b}", question.format(a=a, b=b), str(a + b))


def careless(rng: Generator, conversation: Conversation) -> str:
    """Off by one, off by ten, a carry dropped, a shrug, or the right sum in too many words."""
    total = int(conversation.answer)
    habit = rng.choice(5, p=[0.25, 0.15, 0.2, 0.2, 0.2])
    if habit == 0:
        return off_by(rng, total, 1)
    if habit == 1:
        return off_by(rng, total, 10)
    if habit == 2:
        return without_carry(conversation) or shrug(rng)
    return shrug(rng) if habit == 3 else chatter(rng, conversation.answer)


def off_by(rng: Generator, total: int, step: int) -> str:
    """The total missed by a step, up or down, never below zero."""
    down = total >= step and rng.random() < 0.5
    return str(total - step if down else total + step)


def without_carry(conversation: Conversation) -> str | None:
    """The sum of one who forgets the carry from the units to the tens (37 + 45 = 72), if there is a carry."""
    a, b = (int(n) for n in (conversation.key or "").split("+"))
    return str(a + b - 10) if a % 10 + b % 10 >= 10 else None


TASK = Task("addition", share=10, clean=clean, careless=careless, careless_share=0.7)
