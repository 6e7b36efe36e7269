"""What every handler shares: the call that it gets, the answers it may give, and how errors go back."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tinkery_local.engine import EngineError
from tinkery_local.errors import RequestError
from tinkery_local.futures import Reply
from tinkery_local.service import Service
from tinkery_local.wire.fields import Fields

MAX_BODY_BYTES = 64 * 2**20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """One HTTP request as a handler sees it; `path` holds the named parts of the URL."""

    service: Service
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def fields(self) -> Fields:
        return Fields.parse(self.body)

    def count(self, name: str, default: int) -> int:
        """A number of the query string, such as `limit`."""
        text = self.query.get(name, str(default))
        if not text.isascii() or not text.isdigit():
            raise RequestError(422, f"{name}: expected a number, got {text!r}")
        return int(text)


Answer = Mapping[str, object] | Reply
Handler = Callable[[Call], Awaitable[Answer]]


def route(service: Service, method: str, path: str, handler: Handler) -> Route:
    """A Starlette route that runs a handler; what it raises becomes a status with a JSON body."""

    async def respond(request: Request) -> Response:
        try:
            body = await _read(request)
            call = Call(service, request.path_params, request.query_params, request.headers, body)
            answer = await handler(call)
        except RequestError as error:
            return _json({"detail": error.message}, error.status)
        except (EngineError, OSError) as error:
            return _json({"detail": str(error)}, 400)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:
            logger.exception("a fault in the server: %s %s failed", method, path)
            return _json({"detail": "a fault in the server; its log says more"}, 500)
        if isinstance(answer, Reply):
            return Response(answer.body, answer.status, answer.headers, answer.media_type)
        return _json(answer, 200)

    return Route(path, respond, methods=[method])


async def _read(request: Request) -> bytes:
    """The body, read piece by piece so that an endless one is refused and not kept."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise RequestError(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    return b"".join(pieces)


def _json(values: Mapping[str, object], status: int) -> Response:
    return Response(json.dumps(values).encode(), status, media_type="application/json")
