"""The words that the corpus speaks of. Few of them, so that a vocabulary of 512 tokens holds most as one or two."""

from collections.abc import Sequence

from numpy.random import Generator

KINDS: dict[str, tuple[str, ...]] = {
    "colour": ("red", "blue", "green", "yellow", "black", "white", "pink", "brown", "purple", "grey"),
    "animal": ("cat", "dog", "fox", "cow", "pig", "hen", "owl", "bee", "ant", "bear"),
    "fruit": ("apple", "pear", "plum", "fig", "lime", "grape", "melon", "lemon", "peach", "mango"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
THINGS = KINDS["colour"] + KINDS["animal"] + KINDS["fruit"]
NAMES = (
    "Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Kim", "Leo", "Mia",
    "Nora", "Otto", "Pia", "Rosa", "Sam", "Tara", "Uma", "Vera", "Will", "Yara", "Zoe", "Max",
)  # fmt: skip


def pick(rng: Generator, options: Sequence[str]) -> str:
    """One of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def some_words(rng: Generator, fewest: int, most: int) -> list[str]:
    """Between `fewest` and `most` different things (both included) in random order."""
    count = rng.integers(fewest, most + 1)
    return [THINGS[i] for i in rng.choice(len(THINGS), size=count, replace=False)]
