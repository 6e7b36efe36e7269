"""Functions of a user with a bound on their time: tools and rewards."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

from tinkery_core.errors import UserError
from tinkery_core.workers import WorkerTimeout, run_in_worker

Function = Callable[..., object]


class TookTooLong(Exception):
    """A function did not return within its bound."""


async def call_within(seconds: float, function: Function, *args: object) -> object:
    """What the function returns. Raises TookTooLong past the bound, else what the function raises.

    An `async def` function runs here, and is cancelled at its bound. A `def` function runs in a worker process,
    which is ended at the bound, so it has to pickle (see `check_can_run`), and what it changes is lost.
    """
    if not inspect.iscoroutinefunction(function):
        try:
            return await run_in_worker(function, *args, seconds=seconds)
        except WorkerTimeout as error:
            raise TookTooLong from error
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            return await function(*args)
    except TimeoutError as error:
        if timeout.expired():
            raise TookTooLong from error
        raise


def check_can_run(function: Function, what: str) -> None:
    """Raise UserError for what is no function, and for a `def` function that cannot run in a worker as it is meant."""
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        raise UserError(f"The {what} {function!r} is not a function. Wrap it in one: `async def …`")
    if inspect.iscoroutinefunction(function):
        return
    name = function.__qualname__
    if inspect.ismethod(function):
        raise UserError(
            f"The {what} {name} is a method that is not `async def`. It would run in a process of its own, "
            f"where what it changes is lost.\nWrite `async def {function.__name__}`"
        )
    if function.__module__ == "__main__" or "<" in name:
        raise UserError(
            f"The {what} {name} of {function.__module__} cannot be found by its name, and the process of its own that "
            "it would run in has to.\nMove it to the top of a module, or write `async def`"
        )
