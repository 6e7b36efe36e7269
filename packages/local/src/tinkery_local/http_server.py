"""uvicorn as this server needs it."""

import contextlib
from collections.abc import Generator

import uvicorn
from starlette.applications import Starlette

from tinkery_local.binding import BACKLOG

KEEP_ALIVE_SECONDS = 300
"""Longer than clients keep idle connections, so that the server never closes one under a request."""
LAST_ANSWERS_SECONDS = 5
"""How long a stopping server waits for clients to take the answers that it has for them."""


class HttpServer(uvicorn.Server):
    """Leaves signals to the caller, who first lets the engine finish and then sets `should_exit`."""

    def __init__(self, app: Starlette) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=LAST_ANSWERS_SECONDS,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
