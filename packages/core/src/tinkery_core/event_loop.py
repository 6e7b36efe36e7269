"""The event loop of a run: SIGTERM ends it as Ctrl-C does, and nothing that hangs keeps it from ending."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import NoReturn

_END_TIMEOUT_S = 5.0

_left_tasks: list[asyncio.Task[object]] = []
_left_threads: list[threading.Thread] = []


def run_to_end(script: Coroutine[object, object, None]) -> None:
    """Run a coroutine. SIGTERM ends it as Ctrl-C does: cancelled, cleaned up, KeyboardInterrupt.

    `asyncio.run` would wait at its end for tasks that ignore their cancellation, and for threads of its executor
    that never come back. Such are left behind here.
    """
    handler = signal.getsignal(signal.SIGTERM)
    others = threading.enumerate()

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await script

    runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
    try:
        runner.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        _close(runner.get_loop())
        signal.signal(signal.SIGTERM, handler)
        _left_threads.extend(t for t in threading.enumerate() if not t.daemon and t not in others)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    ending = [*tasks, loop.create_task(loop.shutdown_asyncgens())]
    loop.run_until_complete(asyncio.wait(ending, timeout=_END_TIMEOUT_S))
    _left_tasks.extend(task for task in ending if not task.done())
    loop.close()


def leave(status: int) -> NoReturn:
    """Exit with a status, soon: neither tasks that were left behind nor threads that do not end are waited for."""
    if _left_tasks:
        _exit(status)  # destroying a coroutine runs its handlers once more, and these may not end either
    if any(thread.is_alive() for thread in _left_threads):
        timer = threading.Timer(_END_TIMEOUT_S, _exit_if_held, [status])
        timer.daemon = True
        timer.start()
    sys.exit(status)


def _exit_if_held(status: int) -> None:
    if any(thread.is_alive() for thread in _left_threads):
        _exit(status)


def _exit(status: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
