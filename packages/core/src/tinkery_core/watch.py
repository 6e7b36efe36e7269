"""Bounds on waiting for a service: the SDK itself retries a lost connection without end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import TypeVar

from tinkery_core.errors import ServiceError

ResultT = TypeVar("ResultT")


@asynccontextmanager
async def failing_when(lost: Awaitable[str]) -> AsyncGenerator[None]:
    """Run the body until it ends or `lost` does: then cancel the body and raise ServiceError with its message."""
    body = asyncio.current_task()
    assert body is not None
    watch = asyncio.ensure_future(lost)
    left = stopped = False

    def stop(_: asyncio.Future[str]) -> None:
        nonlocal stopped
        if not left and not watch.cancelled():
            stopped = body.cancel()

    watch.add_done_callback(stop)
    try:
        yield
    except BaseException as error:
        if not watch.done() or (stopped and body.uncancel() > 0):
            raise
        # Whatever the body raised, it raised because the service is gone.
        raise ServiceError(watch.result()) from error
    finally:
        left = True
        watch.cancel()


async def silence(base_url: str | None, api_key: str | None, patience_s: float) -> str:
    """Ask the service for a sign of life now and then; return a message when it gave none for `patience_s`."""
    import tinker

    while True:
        await asyncio.sleep(patience_s / 5)
        opening = in_daemon_thread(lambda: tinker.RestClient(base_url=base_url, api_key=api_key))
        try:
            async with asyncio.timeout(patience_s):
                client = await asyncio.wrap_future(opening)  # the SDK keeps one for each address
                await client.get_server_capabilities()
        except TimeoutError:
            return f"The service has not answered for {patience_s:g} s (backend.patience_s)."
        except tinker.TinkerError as error:
            return f"The service does not answer any more: {error}"


def in_daemon_thread(function: Callable[[], ResultT]) -> Future[ResultT]:
    """Run a blocking call in a thread that does not keep the process alive, unlike those of an executor.

    The future cannot be cancelled, so that whoever stops waiting for it does not take it from others.
    """
    future: Future[ResultT] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
