"""Promised results: opened when a request is accepted, resolved by the engine, held until the client asks.

All of it runs on the event loop.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tinkery_local.errors import RequestError

KEPT_BYTES = 64 * 2**20
KEPT_REPLIES = 4096


@dataclass(frozen=True)
class Reply:
    """A finished answer as it goes over the wire."""

    body: bytes
    media_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class FutureTable:
    """Request id → its reply, or the promise of one. Request ids begin with `<session id>:`.

    A reply that was fetched stays a while, because a client whose connection broke fetches again; past
    `KEPT_REPLIES` of them, or `KEPT_BYTES`, the oldest go. One that nobody fetched stays as long as its
    session.
    """

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[Reply]] = {}
        self._fetched: OrderedDict[str, int] = OrderedDict()
        self._fetched_bytes = 0
        self._closed = False

    def open(self, request_id: str) -> bool:
        """Promise a reply; False if it was promised before, so that a repeated request is not run twice."""
        if request_id in self._futures:
            return False
        self._futures[request_id] = asyncio.get_running_loop().create_future()
        return True

    def resolve(self, request_id: str, reply: Reply) -> None:
        """Keep the promise; a request that was forgotten meanwhile is left alone."""
        future = self._futures.get(request_id)
        if future is not None and not future.done():
            future.set_result(reply)

    async def wait(self, request_id: str, seconds: float) -> Reply | None:
        """The reply as soon as it is there, or None after `seconds`.

        Raises RequestError 404 for an id that is unknown or whose session ended, 503 when the server stops.
        """
        future = self._futures.get(request_id)
        if future is None:
            raise RequestError(
                404,
                f"request {request_id!r} is not known here: its session ended, or the server was restarted",
            )
        if not future.done():
            await asyncio.wait((future,), timeout=seconds)
        if future.cancelled():
            if self._closed:
                raise RequestError(503, "the server is stopping")
            raise RequestError(404, f"request {request_id!r} ended with its session")
        if not future.done():
            return None
        reply = future.result()
        self._mark_fetched(request_id, len(reply.body))
        return reply

    def forget(self, session_id: str) -> None:
        """Drop all that was promised to a session which has ended."""
        for request_id in [known for known in self._futures if known.startswith(f"{session_id}:")]:
            self._drop(request_id)

    def close(self) -> None:
        """Let every waiting poll return now."""
        self._closed = True
        for future in self._futures.values():
            future.cancel()

    def _mark_fetched(self, request_id: str, size: int) -> None:
        if request_id in self._fetched or request_id not in self._futures:
            return
        self._fetched[request_id] = size
        self._fetched_bytes += size
        while len(self._fetched) > KEPT_REPLIES or (
            self._fetched_bytes > KEPT_BYTES and len(self._fetched) > 1
        ):
            self._drop(next(iter(self._fetched)))

    def _drop(self, request_id: str) -> None:
        self._futures.pop(request_id).cancel()
        self._fetched_bytes -= self._fetched.pop(request_id, 0)
