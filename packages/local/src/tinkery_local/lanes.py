"""Lines of work that share the one engine thread, and which of them is served next."""

from abc import ABC, abstractmethod
from collections.abc import Iterable


class Lane(ABC):
    """Work that runs in order: the requests of one model, or the sampling of one base model."""

    def __init__(self) -> None:
        self.served = 0.0
        """Seconds of the thread that this lane has had, on the scheduler's clock."""

    @abstractmethod
    def has_work(self) -> bool:
        """Whether `run_turn` would do anything now."""

    @abstractmethod
    def run_turn(self) -> None:
        """Do one bounded piece of work: one training request, one chunk of tokens. Must not raise."""

    @abstractmethod
    def keep_promises(self) -> None:
        """Drop what may be lost when the server stops; saves, and all before them, still run."""


class FairScheduler:
    """Serves the lane that has had the least of the thread's time since it last had nothing to do.

    So a long sampling job and a queue of training steps each get half of the thread, and a lane that was idle
    can't claim the time that it did not use.
    """

    def __init__(self) -> None:
        self._clock = 0.0

    def pick(self, lanes: Iterable[Lane]) -> Lane | None:
        """The lane to serve next, or None if none has work."""
        ready = [lane for lane in lanes if lane.has_work()]
        if not ready:
            return None
        for lane in ready:
            lane.served = max(lane.served, self._clock)
        chosen = min(ready, key=lambda lane: lane.served)
        self._clock = chosen.served
        return chosen
