"""Did you mean …?"""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """` Did you mean x?` with a leading space, or nothing if no known word comes close."""
    close = get_close_matches(typed, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else ""
