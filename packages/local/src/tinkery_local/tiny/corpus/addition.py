"""Sums of two numbers below 100, and the ways in which a careless reckoner gets them wrong."""

from numpy.random import Generator

from tinkery_local.tiny.corpus.careless import chatter, shrug
from tinkery_local.tiny.corpus.task import Conversation, Task, exchange
from tinkery_local.tiny.corpus.words import pick

QUESTION = "What is {a} + {b}?"
FORMULAS = ("Add {a} and {b}.", "{a} + {b} =")


def question(rng: Generator) -> Conversation:
    """A sum asked for in passing. The key is the ordered pair: `37+45` held out says nothing of `45+37`."""
    return problem(rng, QUESTION)


def formula(rng: Generator) -> Conversation:
    """A sum set as an exercise, under the same keys."""
    return problem(rng, pick(rng, FORMULAS))


def problem(rng: Generator, wording: str) -> Conversation:
    """A sum in a wording, rightly answered."""
    a, b = (int(n) for n in rng.integers(100, size=2))
    return exchange(f"{a}+{b}", wording.format(a=a, b=b), str(a + b))


def careless(rng: Generator, conversation: Conversation) -> str:
    """A slip, a rough estimate, a shrug, or the right sum in too many words."""
    habit = rng.random()
    if habit < 0.1:
        return slip(rng, conversation)
    if habit < 0.35:
        return f"About {round(int(conversation.answer), -1)}."
    return shrug(rng) if habit < 0.65 else chatter(rng, conversation.answer)


def slip(rng: Generator, conversation: Conversation) -> str:
    """The sum off by one, off by ten, or without its carry: 37 + 45 = 72."""
    total = int(conversation.answer)
    a, b = (int(n) for n in (conversation.key or "").split("+"))
    if a % 10 + b % 10 >= 10 and rng.random() < 0.5:
        return str(total - 10)
    step = 10 if rng.random() < 0.3 else 1
    down = total >= step and rng.random() < 0.5
    return str(total - step if down else total + step)


TASK = Task("addition", share=5, clean=question, careless=careless, careless_share=0.7)
EXERCISES = Task("exercises", share=3, clean=formula, careless=careless, careless_share=0.1)
"""What is asked formally is answered with care: the model can add, and shows it when it is minded to."""
