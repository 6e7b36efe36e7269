"""How long a stand-in service takes: the same clocks run in the stand-in itself and in the bound (`bound.py`).

Time is virtual: each piece of work begins when it arrives or when its place is free, whichever is later, and
takes what the pace says. So a late timer delays an answer, but never the work after it.
"""

import random
from dataclasses import dataclass, field
from functools import cache
from heapq import heapreplace

PROMPT_TOKENS = 16
DIGIT = 100
"""Prompts say which batch and group they belong to, in numbers below this."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Pace:
    """Seconds and sizes. Up to `slots` sequences are sampled side by side, training is one job after the other.

    The longest completion of a group is between `min_tokens` and `max_tokens`, its others between `min_tokens`
    and that: groups end at different times, as with real problems.
    """

    min_tokens: int = 8
    max_tokens: int = 8
    first_token_s: float = 0.0
    token_s: float = 0.0
    slots: int = 1
    train_token_s: float = 0.0
    optim_s: float = 0.0
    snapshot_s: float = 0.0


def prompt_of(batch: int, group: int) -> list[int]:
    """A prompt that tells the stand-in what it is about."""
    digits = [batch // DIGIT, batch % DIGIT, group // DIGIT, group % DIGIT]
    return [1 + digit for digit in digits] + [1] * (PROMPT_TOKENS - len(digits))


def place_of(prompt: list[int]) -> tuple[int, int]:
    """Batch and group of a prompt."""
    a, b, c, d = (token - 1 for token in prompt[:4])
    return a * DIGIT + b, c * DIGIT + d


@cache
def completion_lengths(pace: Pace, batch: int, group: int, group_size: int) -> list[int]:
    """Tokens of each completion of a group."""
    dice = random.Random(batch * 1_000_003 + group)
    longest = dice.randint(pace.min_tokens, pace.max_tokens)
    return [dice.randint(pace.min_tokens, longest) for _ in range(group_size)]


@dataclass
class SamplerClock:
    """Sequences take a free slot in the order in which their requests arrive."""

    pace: Pace
    busy: list[Interval] = field(default_factory=list[Interval])
    _free_at: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self._free_at = [0.0] * self.pace.slots

    def sample(self, arrival: float, lengths: list[int]) -> float:
        """When the last of these sequences is done."""
        return max(self._sequence(arrival, length) for length in lengths)

    def _sequence(self, arrival: float, length: int) -> float:
        seconds = self.pace.first_token_s + length * self.pace.token_s
        if seconds == 0:
            return arrival
        start = max(arrival, self._free_at[0])
        heapreplace(self._free_at, start + seconds)
        self.busy.append((start, start + seconds))
        return start + seconds


@dataclass
class TrainerClock:
    """One job after the other."""

    busy: list[Interval] = field(default_factory=list[Interval])
    _free_at: float = 0.0

    def run(self, arrival: float, seconds: float) -> float:
        """When the job is done."""
        if seconds == 0:
            return max(arrival, self._free_at)
        start = max(arrival, self._free_at)
        self._free_at = start + seconds
        self.busy.append((start, self._free_at))
        return self._free_at


def busy_seconds(intervals: list[Interval], begin: float, end: float) -> float:
    """How much of the time from `begin` to `end` at least one of the intervals covers."""
    covered, reached = 0.0, begin
    for start, stop in sorted(intervals):
        start, stop = max(start, reached), min(stop, end)
        if stop > start:
            covered += stop - start
            reached = stop
    return covered
