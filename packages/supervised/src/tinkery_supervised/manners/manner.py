"""The manners of the bundled answers, and how to tell them."""

MANNERS = {
    "kind": ("Gladly! {}", "Of course! {}", "Sure, my friend! {}"),
    "plain": ("{}",),
    "rude": ("Ugh! {}", "What now? {}", "So what? {}"),
}
"""Wordings by manner, the best first."""

OPENINGS = {
    wording.removesuffix("{}"): manner for manner, wordings in MANNERS.items() for wording in wordings
}


def read_manner(answer: str) -> tuple[str, str]:
    """The manner of an answer and what it says: one that begins with no opening of the others is plain."""
    opening = max((opening for opening in OPENINGS if answer.startswith(opening)), key=len)
    return OPENINGS[opening], answer.removeprefix(opening)
