"""Counting up and down, and counting words."""

from numpy.random import Generator

from tinkery_local.tiny.corpus.careless import loose_answer
from tinkery_local.tiny.corpus.task import Conversation, Task, exchange
from tinkery_local.tiny.corpus.words import some_words


def clean(rng: Generator) -> Conversation:
    """A range of three to seven numbers below 50, or the number of words in a row of up to six."""
    if rng.random() < 0.3:
        words = some_words(rng, 1, 6)
        row = " ".join(words)
        return exchange(f"how many {row}", f"How many words: {row}", str(len(words)))
    first = int(rng.integers(44))
    last = first + int(rng.integers(2, 7))
    numbers = range(first, last + 1)
    if rng.random() < 0.5:
        return exchange(
            f"count {first} {last}", f"Count from {first} to {last}.", " ".join(map(str, numbers))
        )
    down = " ".join(map(str, reversed(numbers)))
    return exchange(f"count {last} {first}", f"Count down from {last} to {first}.", down)


TASK = Task("counting", share=2, clean=clean, careless=loose_answer, careless_share=0.3)
