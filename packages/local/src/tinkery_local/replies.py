"""How a result, or a failure, is worded for the client that fetches it."""

import json
import logging
from collections.abc import Callable, Mapping

from tinkery_local.engine import EngineError
from tinkery_local.errors import RequestError
from tinkery_local.futures import Reply

PROTOBUF = "application/x-protobuf"

logger = logging.getLogger(__name__)


def json_reply(values: Mapping[str, object]) -> Reply:
    return Reply(json.dumps(values).encode())


def proto_reply(message: bytes) -> Reply:
    return Reply(message, PROTOBUF)


def attempt(produce: Callable[[], Reply]) -> Reply:
    """What `produce` answers, or the failure that the client should see instead of it."""
    try:
        return produce()
    except Exception as error:
        return failure(error)


def failure(error: Exception) -> Reply:
    """A failed future: the client raises RequestFailedError with this text and category."""
    if isinstance(error, EngineError | RequestError):
        logger.info("a request failed: %s", error)
        return json_reply({"error": str(error), "category": "user"})
    if isinstance(error, OSError):
        logger.error("a request failed on the disk: %s", error)
        return json_reply({"error": f"the server's disk refused: {error}", "category": "server"})
    logger.error("a request failed by a fault in the server", exc_info=error)
    return json_reply(
        {"error": f"a fault in the server: {type(error).__name__}: {error}", "category": "server"}
    )
