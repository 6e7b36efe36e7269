"""A Tinker service behind a URL: the hosted one, or a server that runs already."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from tinkery_core.errors import ServiceError, UserError
from tinkery_core.watch import failing_when, in_daemon_thread, silence

if TYPE_CHECKING:
    import tinker

LOOPBACK_KEY = "tml-local"
"""The SDK demands a key of this form; a server on loopback accepts any."""

LOOPBACK_HOSTS = ("127.0.0.1", "localhost")

_CLOSE_TIMEOUT_S = 5.0


class RemoteService:
    """Connects to `base_url` (None: the SDK's own default) with `api_key` (None: the SDK finds it)."""

    def __init__(
        self, base_url: str | None, api_key: str | None, start_timeout_s: float, patience_s: float
    ) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._start_timeout_s = start_timeout_s
        self._patience_s = patience_s

    def connect(self) -> AbstractAsyncContextManager[tinker.ServiceClient]:
        return self._connect()

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[tinker.ServiceClient]:
        address = self._base_url or "the Tinker service"
        bypass_proxy_on_loopback()
        await check_listening(self._base_url)
        try:
            async with asyncio.timeout(self._start_timeout_s):
                service = await open_client(self._base_url, self._api_key)
        except TimeoutError:
            raise ServiceError(
                f"{address} has not answered for {self._start_timeout_s:g} s.\n"
                "Check backend.base_url and the network, or train on this machine with backend=local."
            ) from None
        async with failing_when(silence(self._base_url, self._api_key, self._patience_s)), closing(service):
            yield service

    async def rest_client(self) -> tinker.RestClient:
        return await open_rest_client(self._base_url, self._api_key)

    def close(self) -> None:
        """Nothing was started."""


async def check_listening(base_url: str | None) -> None:
    """Raise UserError at once if nothing listens at a loopback address: the SDK would go on trying.

    Other addresses may lie behind a proxy, which only the client knows how to reach.
    """
    url = urlsplit(base_url or "")
    if url.hostname not in LOOPBACK_HOSTS:
        return
    try:
        _, writer = await asyncio.open_connection(url.hostname, url.port or 80)
    except OSError as error:
        raise UserError(
            f"backend.base_url={base_url}: nothing listens there ({error.strerror}).\n"
            "Start a server with `tinkery-local serve`, or leave backend.base_url out to have one for the run."
        ) from None
    writer.close()


async def open_client(base_url: str | None, api_key: str | None) -> tinker.ServiceClient:
    """A client with its session opened: the SDK does this on first use, and blocks the event loop with it."""

    def connect() -> tinker.ServiceClient:
        import tinker

        service = tinker.ServiceClient(base_url=base_url, api_key=api_key)
        service.holder.get_loop().set_exception_handler(_forget_withdrawn)
        return service

    return await asyncio.wrap_future(in_daemon_thread(connect))


async def open_rest_client(base_url: str | None, api_key: str | None) -> tinker.RestClient:
    """A client for checkpoints and capabilities. The SDK keeps one for each address, once the service has answered."""

    def connect() -> tinker.RestClient:
        import tinker

        return tinker.RestClient(base_url=base_url, api_key=api_key)

    return await asyncio.wrap_future(in_daemon_thread(connect))


def _forget_withdrawn(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What asyncio has to say on the SDK's own event loop, except how a request ended that was withdrawn.

    The SDK's task of a request now and then outlives its cancellation, if that comes while the request is being
    posted. It fails when the session closes, and nobody is left to hear of it.
    """
    task = context.get("future")
    if not (isinstance(task, asyncio.Task) and task.cancelling()):
        loop.default_exception_handler(context)


@asynccontextmanager
async def closing(service: tinker.ServiceClient) -> AsyncGenerator[None]:
    """Tell the service how the session ended, and stop the client's heartbeats."""
    try:
        yield
    except Exception:
        await _close(service, "errored")
        raise
    await _close(service, "success")


async def _close(service: tinker.ServiceClient, status: Literal["success", "errored"]) -> None:
    with suppress(TimeoutError):  # a courtesy: a session that is not closed expires
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await service.close(status)


def bypass_proxy_on_loopback() -> None:
    """Keep loopback connections from an HTTP proxy, through which they would hang."""
    present = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    missing = [host for host in LOOPBACK_HOSTS if host not in present.split(",")]
    hosts = ",".join([*filter(None, [present]), *missing])
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = hosts
