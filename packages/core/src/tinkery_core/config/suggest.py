"""Did you mean …?"""

from collections.abc import Iterable
from difflib import SequenceMatcher

_CLOSE = 0.6


def did_you_mean(typed: str, known: Iterable[str], prefix: str = "") -> str:
    """` Did you mean x?` with a leading space, or nothing if no known word comes close."""
    closest = max(known, key=lambda word: _similarity(typed, word), default="")
    return f" Did you mean {prefix}{closest}?" if _similarity(typed, closest) >= _CLOSE else ""


def _similarity(typed: str, word: str) -> float:
    """From 0 to 1. Letters in the wrong order count as a near hit, which common subsequences alone miss."""
    if sorted(typed) == sorted(word):
        return 0.99
    return SequenceMatcher(None, typed, word).ratio()
