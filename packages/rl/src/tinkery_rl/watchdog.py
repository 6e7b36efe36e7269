"""Ends an environment's call that blocks the event loop, where a bound on waiting has nobody left to enforce it."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from tinkery_rl.calls import RUNNING, Interruption


@contextmanager
def watchdog(seconds: float) -> Generator[None]:
    """While the body runs in an event loop, interrupt a call to an env that blocks the loop for `seconds`.

    The call fails with a RolloutError then. Only code of an env is interrupted, never what takes long elsewhere;
    and only between two steps of the interpreter: not inside a long computation of an extension module.

    It works by an alarm signal. So it does nothing where there is none (on Windows), in other threads than the
    main one, and where an alarm is set already.
    """
    if not _can_watch():
        yield
        return
    dog = _Watchdog(seconds)
    before = signal.signal(signal.SIGALRM, dog.look)
    dog.hear()
    try:
        yield
    finally:
        dog.stop()
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)


def _can_watch() -> bool:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        return False
    return signal.getitimer(signal.ITIMER_REAL)[0] == 0


class _Watchdog:
    """As long as the loop runs, it puts the alarm off; when it does not, the alarm looks who keeps it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._tick = seconds / 4
        self._suspect: str | None = None
        self._since = 0.0
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.TimerHandle | None = None

    def hear(self) -> None:
        """A sign of life of the loop."""
        self._suspect = None
        signal.setitimer(signal.ITIMER_REAL, self._tick, self._tick)
        self._next = self._loop.call_later(self._tick / 2, self.hear)

    def look(self, signum: int, frame: object) -> None:
        """No sign of life for a tick, or for several: interrupt an env that was seen at it `seconds` ago."""
        del signum, frame
        place, now = RUNNING.get(), time.monotonic()
        if place is not self._suspect:
            self._suspect, self._since = place, now
        elif place is not None and now - self._since >= self._seconds:
            raise Interruption(
                f"took longer than rollouts.max_call_seconds={self._seconds:g}, and let nothing else run meanwhile: "
                "await what takes long, or give it to tinkery_core.workers.run_in_worker"
            )

    def stop(self) -> None:
        """No more alarms."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._next is not None:
            self._next.cancel()
