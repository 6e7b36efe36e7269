"""Just enough of an HTTP/1.1 server for one client on loopback, so that it costs next to nothing beside the client."""

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What goes back: a body and its media type."""

    body: bytes
    media_type: str = "application/json"
    status: int = 200


Handler = Callable[[str, bytes], Answer | Awaitable[Answer]]
"""From the path and the body to the answer, at once or later."""


class Connection(asyncio.Protocol):
    """One connection: requests with a Content-Length, one after the other."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._received = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            request_line, *headers = bytes(self._received[:end]).decode("latin-1").split("\r\n")
            length = next((int(h[15:]) for h in headers if h[:15].lower() == "content-length:"), 0)
            if len(self._received) < end + 4 + length:
                return
            body = bytes(self._received[end + 4 : end + 4 + length])
            del self._received[: end + 4 + length]
            self._answer(request_line.split(" ")[1], body)

    def _answer(self, path: str, body: bytes) -> None:
        try:
            answer = self._handler(path, body)
        except (
            Exception
        ):  # a fault in the stand-in: the client fails at once on this status, and does not try again
            text = traceback.format_exc()
            print(text, file=sys.stderr)
            answer = Answer(json.dumps({"detail": text}).encode(), status=422)
        if isinstance(answer, Answer):
            self._send(answer)
            return
        task = asyncio.ensure_future(self._send_later(answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_later(self, answer: Awaitable[Answer]) -> None:
        self._send(await answer)

    def _send(self, answer: Answer) -> None:
        assert self._transport is not None
        head = (
            f"HTTP/1.1 {answer.status} X\r\ncontent-type: {answer.media_type}\r\n"
            f"content-length: {len(answer.body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + answer.body)
