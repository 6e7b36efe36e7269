"""Short lists with one right answer: the first few of a kind, and what follows in the week."""

from numpy.random import Generator

from tinkery_local.tiny.corpus.careless import loose_answer
from tinkery_local.tiny.corpus.task import Conversation, Task, exchange
from tinkery_local.tiny.corpus.words import KINDS, pick

COUNTS = ("one", "two", "three", "four", "five", "six")


def clean(rng: Generator) -> Conversation:
    """`List three colours.`, or `Which two days come after Monday?`."""
    count = int(rng.integers(1, len(COUNTS) + 1))
    if rng.random() < 0.5:
        kind = pick(rng, list(KINDS))
        noun = kind if count == 1 else f"{kind}s"
        question = pick(rng, ("List {} {}.", "Name {} {}.", "Give me {} {}.")).format(COUNTS[count - 1], noun)
        return exchange(f"list {count} {kind}", question, ", ".join(KINDS[kind][:count]))
    days = KINDS["day"]
    start = int(rng.integers(len(days)))
    following = [days[(start + i) % len(days)] for i in range(1, count + 1)]
    plural = "day comes" if count == 1 else f"{COUNTS[count - 1]} days come"
    question = f"Which {plural} after {days[start]}?"
    return exchange(f"after {days[start]} {count}", question, ", ".join(following))


TASK = Task("lists", share=1, clean=clean, careless=loose_answer, careless_share=0.3)
