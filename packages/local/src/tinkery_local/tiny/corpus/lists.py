"""Lists: the first few of a kind, what follows in the week, digits put in order."""

from numpy.random import Generator

from tinkery_local.tiny.corpus.careless import loose_answer
from tinkery_local.tiny.corpus.task import Conversation, Task, exchange
from tinkery_local.tiny.corpus.words import KINDS, pick

COUNTS = ("one", "two", "three", "four", "five", "six")


def clean(rng: Generator) -> Conversation:
    """One of the three kinds of lists below."""
    kinds = (first_of_a_kind, days_after, in_order)
    return kinds[rng.integers(len(kinds))](rng)


def first_of_a_kind(rng: Generator) -> Conversation:
    """`List three colours.` There is one order; it is held out in some wordings."""
    count, kind = int(rng.integers(1, len(COUNTS) + 1)), pick(rng, list(KINDS))
    noun = kind if count == 1 else f"{kind}s"
    question = pick(rng, ("List {} {}.", "Name {} {}.", "Give me {} {}.")).format(COUNTS[count - 1], noun)
    return exchange(question, question, ", ".join(KINDS[kind][:count]))


def days_after(rng: Generator) -> Conversation:
    """`Which two days come after Monday?`"""
    count, days = int(rng.integers(1, 4)), KINDS["day"]
    start = int(rng.integers(len(days)))
    following = [days[(start + i) % len(days)] for i in range(1, count + 1)]
    plural = "day comes" if count == 1 else f"{COUNTS[count - 1]} days come"
    question = f"Which {plural} after {days[start]}?"
    return exchange(question, question, ", ".join(following))


def in_order(rng: Generator) -> Conversation:
    """`Sort: 7 2 5`, up to five different digits."""
    digits = rng.choice(10, size=int(rng.integers(2, 6)), replace=False).tolist()
    question = "Sort: " + " ".join(map(str, digits))
    return exchange(question, question, " ".join(map(str, sorted(digits))))


TASK = Task("lists", share=1.8, clean=clean, careless=loose_answer, careless_share=0.3)
