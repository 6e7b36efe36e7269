"""Writing words in capitals and in small letters."""

from numpy.random import Generator

from tinkery_local.tiny.corpus.careless import loose_answer
from tinkery_local.tiny.corpus.task import Conversation, Task, exchange
from tinkery_local.tiny.corpus.words import some_words


def clean(rng: Generator) -> Conversation:
    """One to three words, from small letters to capitals or back."""
    words = " ".join(some_words(rng, 1, 3))
    if rng.random() < 0.5:
        return exchange(f"capitals {words}", f"Write {words} in capitals.", words.upper())
    return exchange(f"small {words}", f"Write {words.upper()} in small letters.", words)


TASK = Task("letter_case", share=2, clean=clean, careless=loose_answer, careless_share=0.3)
