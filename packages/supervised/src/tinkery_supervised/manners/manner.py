"""The manners of the bundled answers, and how to tell them."""

MANNERS = {
    "kind": ("Gladly! {}", "Of course! {}", "Sure, my friend! {}"),
    "plain": ("{}",),
    "rude": ("Ugh! {}", "What now? {}", "So what? {}"),
}
"""Wordings by manner, the best first."""


def manner_of(answer: str) -> str:
    """The manner of an answer: by its beginning, and plain if that is none of those above."""
    for manner, wordings in MANNERS.items():
        openings = [opening for wording in wordings if (opening := wording.removesuffix("{}"))]
        if answer.startswith(tuple(openings)) and openings:
            return manner
    return "plain"


def kindness(answer: str) -> int:
    """How kind the manner of an answer is: 2, 1 or 0."""
    return 2 - list(MANNERS).index(manner_of(answer))
