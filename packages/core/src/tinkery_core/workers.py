"""Functions in processes of their own, which can be killed: for graders that may compute without end, or crash.

A thread cannot be stopped, and where it computes it holds up the event loop. A worker is kept for one call after the
other, and ends with this process, however that ends.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

from tinkery_core import worker_process
from tinkery_core.watch import in_daemon_thread
from tinkery_core.worker_process import Answer, Request, read_message, write_message

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_START_TIMEOUT_S = 120.0


class WorkerError(Exception):
    """A call in a worker brought neither a value nor an exception of its function, which the message names."""


class WorkerTimeout(WorkerError):
    """A call in a worker took longer than it may, and the worker was killed."""


async def run_in_worker(function: Callable[[*Ts], T], *args: *Ts, seconds: float) -> T:
    """What the function returns, or raises, when it is called in another process.

    It has `seconds` from the moment that a worker is free and has imported what it needs. As many calls run at once
    as there are processors, at least two; others wait for a place. Function, arguments and result have to pickle;
    what the function prints is lost. Raises WorkerTimeout, or WorkerError if its process ended, or if something does
    not pickle.
    """
    name = _name(function)
    if function.__module__ == "__main__":
        raise WorkerError(
            f"{name} cannot be called in a worker, which does not run this program: move it to a module"
        )
    try:
        request = Request(sys.path, pickle.dumps((function, args)), seconds)
    except Exception as error:
        raise WorkerError(
            f"{name} cannot be called in a worker: {error}. "
            "It has to stand at the top level of a module, and its arguments have to pickle"
        ) from error
    async with _places():
        worker = _free_worker()
        try:
            answer = await worker.call(name, request)
        except BaseException:
            worker.kill()
            raise
        _idle.append(worker)
    match answer:
        case Answer("returned", bytes(value)):
            return pickle.loads(value)
        case Answer("raised", bytes(error)):
            raise pickle.loads(error)
        case _:
            raise WorkerError(f"{name} {answer.value}")


def _name(function: Callable[..., object]) -> str:
    qualname = getattr(function, "__qualname__", None)
    return repr(function) if qualname is None else f"{function.__module__}.{qualname}"


_places_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _places() -> asyncio.Semaphore:
    num_workers = max(2, os.cpu_count() or 1)
    return _places_of_loops.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(num_workers))


def _free_worker() -> _Worker:
    while _idle:
        worker = _idle.pop()
        if worker.is_alive:
            return worker
        worker.kill()
    return _Worker()


class _Exchange:
    """A request and its two replies."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.loaded: Future[None] = Future()
        self.answer: Future[Answer] = Future()
        for future in (self.loaded, self.answer):
            future.set_running_or_notify_cancel()  # whoever stops waiting does not cancel it


class _Worker:
    """A process that answers one request at a time. Whoever does not wait for an answer has to kill it."""

    def __init__(self) -> None:
        # In a session of its own: Ctrl-C does not reach it, and the programs that it starts can be killed with it.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", worker_process.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._exchanges: SimpleQueue[_Exchange | None] = SimpleQueue()
        in_daemon_thread(self._talk)

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    async def call(self, name: str, request: Request) -> Answer:
        """Raises WorkerError, calling the function `name`, if the process ends or takes too long."""
        exchange = _Exchange(request)
        self._exchanges.put(exchange)
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await asyncio.wrap_future(exchange.loaded)
        except TimeoutError:
            raise WorkerError(
                f"{name} could not be loaded in a worker within {_START_TIMEOUT_S:g} s"
            ) from None
        except _Ended as ended:
            raise WorkerError(f"{name} could not be loaded in a worker, which ended with {ended}") from None
        try:
            async with asyncio.timeout(request.seconds):
                return await asyncio.wrap_future(exchange.answer)
        except TimeoutError:
            raise WorkerTimeout(
                f"{name} took longer than {request.seconds:g} s in a worker, and was killed"
            ) from None
        except _Ended as ended:
            raise WorkerError(f"{name} ended its worker with {ended}") from None

    def kill(self) -> None:
        """End it, and the programs that it started."""
        if self.is_alive:
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._exchanges.put(None)

    def _talk(self) -> None:
        """Exchange messages until the process ends, or has ended; what waits in a pipe waits here."""
        with suppress(OSError), self._process as process:
            assert process.stdin is not None and process.stdout is not None
            while (exchange := self._exchanges.get()) is not None:
                try:
                    write_message(process.stdin, pickle.dumps(tuple(exchange.request)))
                    read_message(process.stdout)
                    exchange.loaded.set_result(None)
                    exchange.answer.set_result(Answer(*pickle.loads(read_message(process.stdout))))
                except (EOFError, OSError):
                    ended = _Ended(_describe(process.wait()))
                    for future in (exchange.loaded, exchange.answer):
                        if not future.done():
                            future.set_exception(ended)


class _Ended(Exception):
    """How the process of a worker ended."""


def _describe(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


_idle: list[_Worker] = []
"""Workers of this process that nobody uses."""
