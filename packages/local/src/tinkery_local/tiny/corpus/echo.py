"""Saying words again, as they stand or backwards."""

from numpy.random import Generator

from tinkery_local.tiny.corpus.careless import loose_answer
from tinkery_local.tiny.corpus.task import Conversation, Task, exchange
from tinkery_local.tiny.corpus.words import pick, some_words


def clean(rng: Generator) -> Conversation:
    """One to four words to repeat, or two to four to turn round."""
    if rng.random() < 0.5:
        words = " ".join(some_words(rng, 1, 4))
        question = pick(rng, ("Repeat: {}", "Say {}.", "Repeat after me: {}"))
        return exchange(f"repeat {words}", question.format(words), words)
    words = some_words(rng, 2, 4)
    forwards = " ".join(words)
    question = pick(rng, ("Reverse: {}", "Say {} backwards."))
    return exchange(f"reverse {forwards}", question.format(forwards), " ".join(reversed(words)))


TASK = Task("echo", share=3.5, clean=clean, careless=loose_answer, careless_share=0.3)
