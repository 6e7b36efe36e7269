"""Questions that are answered by yes or no: is it of that kind, and which number is greater."""

from numpy.random import Generator

from tinkery_local.tiny.corpus.careless import loose_answer
from tinkery_local.tiny.corpus.task import Conversation, Task, exchange
from tinkery_local.tiny.corpus.words import KINDS, THINGS, pick


def clean(rng: Generator) -> Conversation:
    """A question of kind, right half of the time, or a comparison of two numbers below 100."""
    if rng.random() < 0.5:
        a, b = (int(n) for n in rng.integers(100, size=2))
        return exchange(f"{a}>{b}", f"Is {a} more than {b}?", yes_or_no(a > b))
    thing = pick(rng, THINGS)
    kinds = [kind for kind in KINDS if kind != "day"]
    own = next(kind for kind in kinds if thing in KINDS[kind])
    asked = own if rng.random() < 0.5 else pick(rng, [kind for kind in kinds if kind != own])
    article = "an" if asked[0] == "a" else "a"
    question = pick(rng, ("Is {} {} {}?", "Would you say that {} is {} {}?")).format(thing, article, asked)
    return exchange(f"{thing} {asked}", question, yes_or_no(asked == own))


def yes_or_no(truth: bool) -> str:
    """The answer to a yes-or-no question."""
    return "Yes." if truth else "No."


TASK = Task("yes_no", share=1.5, clean=clean, careless=loose_answer, careless_share=0.3)
