"""Python's search for cycles of garbage, less often than its default."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

ALLOCATIONS = 50_000
"""New objects before the search begins; Python's own is 700."""


@contextmanager
def rare_collections() -> Generator[None]:
    """Search for garbage more rarely in the body. Cycles are few there, and reference counts free all else.

    A step holds tasks and trajectories by the ten thousands, which live until it ends: Python's default searches
    them again and again, along with all that the libraries hold, and takes more time for it than the trainer does.
    `benchmarks/rl_trainer.py` measures both time and memory.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(ALLOCATIONS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
