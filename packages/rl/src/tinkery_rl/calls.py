"""One call to an environment: named in whatever goes wrong, and given up when it takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeVar

from tinkery_core.errors import ServiceError, UserError
from tinkery_core.failure import is_from_the_sdk, most_telling

T = TypeVar("T")

GRACE_S = 5.0
"""How long a cancelled call may take to clean up after itself before it is abandoned."""

RUNNING: ContextVar[str | None] = ContextVar("RUNNING", default=None)
"""The place of the env call that the code at hand runs in, also in tasks and callbacks that the env started."""

_tasks: set[asyncio.Task[object]] = set()


class RolloutError(Exception):
    """An environment failed. The message names the env, its group and its member; the cause is the env's own error."""


class Interruption(BaseException):
    """Raised inside a call that blocks the event loop (see `tinkery_rl.watchdog`). The text says what is wrong."""


async def call_env(place: str, call: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What `call` returns. Raises RolloutError, naming the place, if it raises or takes longer than `seconds`.

    Errors of the user, the service and the SDK stay what they are. The call runs in a task of its own: one that
    does not end when it is cancelled is abandoned after a short grace.
    """
    task = asyncio.create_task(_named(place, call))
    _tasks.add(task)  # an abandoned task has no other owner
    task.add_done_callback(_forget)
    try:
        await _ended(task, seconds)
        if not task.done():
            raise RolloutError(f"{place} took longer than rollouts.max_call_seconds={seconds:g}")
        if task.cancelled():
            raise RolloutError(f"{place} raised CancelledError, though nobody cancelled it")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=GRACE_S)


async def _ended(task: asyncio.Task[T], seconds: float) -> None:
    """Wait for the task, but no longer than `seconds`: `asyncio.wait` for one task, at half its cost."""
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not woken.done():
            woken.set_result(None)

    task.add_done_callback(wake)
    timer = loop.call_later(seconds, wake)
    try:
        await woken
    finally:
        timer.cancel()


async def clean_up(place: str, call: Callable[[], Awaitable[None]], seconds: float) -> None:
    """As `call_env`, but a cancellation from outside waits until it is over."""
    task = asyncio.create_task(call_env(place, call, seconds))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _named(place: str, call: Callable[[], Awaitable[T]]) -> T:
    RUNNING.set(place)
    try:
        return await call()
    except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        cause = most_telling(error)
        if isinstance(cause, UserError | ServiceError) or is_from_the_sdk(cause):
            raise cause from cause.__cause__
        reason = str(cause) if isinstance(cause, Interruption) else f"raised {type(cause).__name__}: {cause}"
        raise RolloutError(f"{place} {reason}") from error


def _forget(task: asyncio.Task[T]) -> None:
    """A task has ended. If nobody waits for it any more, its error is nobody's either."""
    _tasks.discard(task)
    if not task.cancelled():
        task.exception()
