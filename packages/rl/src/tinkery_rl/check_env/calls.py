"""One call to an environment that is checked: bounded, and measured for how long it keeps the event loop."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import TypeAlias, TypeVar

from tinkery_rl.check_env.report import IN_TIME, CheckFailed

T = TypeVar("T")

Call: TypeAlias = Callable[[], Coroutine[object, object, T]]

Announce = Callable[[str], None]
"""Told each time that a call takes over, so that somebody outside knows which one never came back."""

Note = Callable[[str, float], None]
"""Told for how many seconds a call kept the event loop to itself at a stretch."""

CALLS = "calls"
CANCEL_TIMEOUT_S = 1.0


async def bounded_call(function: Call[T], place: str, seconds: float, announce: Announce, note: Note) -> T:
    """What an awaited call returns. Raises CheckFailed if it raises or takes longer than `seconds`."""
    task = asyncio.ensure_future(_Measured(function, place, announce, note))
    try:
        await asyncio.wait([task], timeout=seconds)
        if task.done():
            return _result(task, place)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_TIMEOUT_S)
    raise CheckFailed(
        IN_TIME,
        f"{place} did not come back within {seconds:g} s",
        "put a bound on whatever it waits for, or give --timeout more",
    )


def _result(task: asyncio.Future[T], place: str) -> T:
    try:
        return task.result()
    except BaseException as error:
        raise CheckFailed(
            CALLS,
            f"{place} raised {type(error).__name__}: {error}",
            "a run ends when an environment raises: handle what a policy can write, or what the outside does",
        ) from error


class _Measured(Awaitable[T]):
    """A call that notes how long it kept the event loop to itself at a stretch."""

    def __init__(self, function: Call[T], place: str, announce: Announce, note: Note) -> None:
        self.function = function
        self.place = place
        self.announce = announce
        self.note = note

    def __await__(self) -> Generator[object, object, T]:
        resume = self._begin
        while True:
            self.announce(self.place)
            began = time.perf_counter()
            try:
                waits_for = resume()
            except StopIteration as ended:
                return ended.value
            finally:
                self.note(self.place, time.perf_counter() - began)
            try:
                yield waits_for
                resume = partial(self._coroutine.send, None)
            except BaseException as error:  # thrown in by a cancellation
                resume = partial(self._coroutine.throw, error)

    def _begin(self) -> object:
        made = self.function()
        if not inspect.iscoroutine(made):
            raise TypeError(f"it is no `async def`: calling it gave a {type(made).__name__}")
        self._coroutine: Coroutine[object, object, T] = made
        return self._coroutine.send(None)
