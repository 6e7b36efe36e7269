"""The life of a server process: bind, load, announce, serve, and stop without losing a save.

What takes long to import is imported while the models load, or by the engine's thread.
"""

import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn, TypeVar

from tinkery_local import binding, catalog
from tinkery_local.catalog import ModelSource
from tinkery_local.engine_thread import EngineThread
from tinkery_local.errors import UserError
from tinkery_local.options import ServeOptions
from tinkery_local.stopping import StopSignal
from tinkery_local.store import Store

if TYPE_CHECKING:
    from tinkery_local.engine import Engine
    from tinkery_local.service import Service

DRAIN_SECONDS = 30.0
"""How long a stopping server may take to finish its saves."""
SWITCH_SECONDS = 0.0005
"""How long the engine's thread may hold the interpreter while an answer waits to be sent; Python's own is 5 ms."""

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


def run(options: ServeOptions) -> NoReturn:
    """Serve until told to stop, then end the process. Raises UserError when it can't start."""
    level = options.log_level.upper()
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(message)s")
    for chatty in ("uvicorn", "jax", "httpx"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
    sys.setswitchinterval(SWITCH_SECONDS)
    with binding.bind(options.host, options.port) as listener:
        store = Store(options.store, options.also_stores)
        store.open()
        sources = [catalog.find(name) for name in options.models or (catalog.DEFAULT_MODEL,)]
        clean = asyncio.run(_serve(options, listener, store, sources))
    logging.shutdown()
    # All that matters is done. The interpreter's own end takes half a second with jax, for ever if its thread hangs.
    os._exit(0 if clean else 1)


async def _serve(
    options: ServeOptions, listener: socket.socket, store: Store, sources: Sequence[ModelSource]
) -> bool:
    """Serve until told to stop; returns whether the engine thread has ended."""
    stop = StopSignal()
    if options.exit_with_stdin:
        stop.follow_parent()
    thread = EngineThread(asyncio.get_running_loop())
    thread.start()
    loading = thread.submit(lambda: _load(sources))
    from tinkery_local.http_server import HttpServer

    if not await _done_before_stop(loading, stop):
        logger.warning("stopped before the models were loaded")
        return False
    from tinkery_local.app import build_app
    from tinkery_local.service import Service

    service = Service(list(zip(sources, loading.result(), strict=True)), store, thread)
    server = HttpServer(build_app(service))
    binding.listen(listener)
    _announce(options, binding.url_of(listener), service)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await _done_before_stop(serving, stop)
    clean = await _finish(service)
    server.should_exit = True
    await serving
    return clean


def _load(sources: Sequence[ModelSource]) -> "list[Engine]":
    from tinkery_local.engine import Engine, EngineError, keep_compiled_programs

    keep_compiled_programs()
    try:
        return [Engine(source.folder) for source in sources]
    except EngineError as error:
        raise UserError(str(error)) from error


def _announce(options: ServeOptions, url: str, service: "Service") -> None:
    if options.announce:
        print(json.dumps({"url": url, "pid": os.getpid(), "models": list(service.bases)}), flush=True)
    logger.info("serving %s at %s, checkpoints in %s", ", ".join(service.bases), url, options.store)


async def _finish(service: "Service") -> bool:
    logger.info("stopping")
    try:
        await asyncio.wait_for(service.stop(), DRAIN_SECONDS)
    except TimeoutError:
        logger.error("stopped without finishing what was in work after %.0f seconds", DRAIN_SECONDS)
        return False
    return True


async def _done_before_stop(task: asyncio.Future[Result], stop: StopSignal) -> bool:
    """Wait for a task or for the signal to stop; returns whether the task is done."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    return task.done()
