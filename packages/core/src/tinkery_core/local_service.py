"""The embedded server of one run: a child process that lives no longer than the run."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from tinkery_core.errors import ServiceError, UserError
from tinkery_core.remote_service import LOOPBACK_KEY, RemoteService
from tinkery_core.watch import failing_when, in_daemon_thread

if TYPE_CHECKING:
    import tinker

SERVERS = "tinkery.servers"
"""Entry point group of packages that bring a server."""

_STOP_TIMEOUT_S = 30.0
_USAGE = 2


def find_server() -> str:
    """The package that `python -m` starts as a server. Raises UserError if none is installed."""
    for entry in entry_points(group=SERVERS, name="local"):
        return entry.module.partition(".")[0]
    raise UserError(
        "backend=local needs the embedded server, which is not installed.\n"
        "Type `uv add tinkery-local`, or choose backend=hosted or backend.base_url=http://…"
    )


class LocalService:
    """Starts the server at once; `connect` waits until it is ready."""

    def __init__(
        self,
        models: Sequence[str],
        stores: Sequence[Path],
        log: Path,
        start_timeout_s: float,
        patience_s: float,
    ) -> None:
        """Checkpoints are kept in the first of `stores`; those in the others can be loaded too."""
        self._log = log
        self._start_timeout_s = start_timeout_s
        self._patience_s = patience_s
        self._url: Future[str] = Future()
        self._url.set_running_or_notify_cancel()
        command = [
            sys.executable,
            "-m",
            find_server(),
            "serve",
            "--port",
            "0",
            "--announce",
            "--exit-with-stdin",
        ]
        command += ["--store", str(stores[0])]
        for store in stores[1:]:
            command += ["--also-store", str(store)]
        for model in models:
            command += ["--model", model]
        with log.open("ab") as stderr:
            self._log_start = stderr.tell()
            # In a session of its own, so that Ctrl-C reaches this process alone, which then stops the server.
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
            )
        self._ended = in_daemon_thread(self._follow)
        # Its imports take about as long as the server needs to start.
        self._client = in_daemon_thread(_import_client)

    @property
    def url(self) -> str:
        """The server's address. Waits for it; raises ServiceError or UserError if the server did not start."""
        return self._url.result()

    def _follow(self) -> str:
        """Read what the server says until it ends; return what went wrong then."""
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            announcement = stdout.readline()
            if announcement:
                self._url.set_result(json.loads(announcement)["url"])
            stdout.read()
        status = self.process.wait()
        message = f"The embedded server has ended ({_describe(status)}).{self._last_words()}"
        if not announcement:
            self._url.set_exception(self._refusal(status) or ServiceError(message))
        return message

    def _refusal(self, status: int) -> UserError | None:
        """The server's own word for options that cannot work, which are those of `model` and `backend` here."""
        lines = self._log_lines()
        if status != _USAGE or not lines:
            return None
        return UserError(f"The embedded server refuses to start.\n{lines[-1]}")

    def _log_lines(self) -> list[str]:
        return self._log.read_bytes()[self._log_start :].decode(errors="replace").splitlines()

    def _last_words(self) -> str:
        lines = self._log_lines()[-8:]
        if not lines:
            return ""
        return f" The end of {self._log}:\n" + "\n".join(f"  {line}" for line in lines)

    def connect(self) -> AbstractAsyncContextManager[tinker.ServiceClient]:
        return self._connect()

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[tinker.ServiceClient]:
        os.environ.setdefault("TINKER_TELEMETRY", "0")
        try:
            async with asyncio.timeout(self._start_timeout_s):
                url = await asyncio.wrap_future(self._url)
        except TimeoutError:
            raise ServiceError(
                f"The embedded server was not ready after {self._start_timeout_s:g} s (backend.start_timeout_s)."
                f"{self._last_words()}"
            ) from None
        await asyncio.wrap_future(self._client)
        async with failing_when(asyncio.wrap_future(self._ended)), self._remote(url).connect() as service:
            yield service

    async def rest_client(self) -> tinker.RestClient:
        return await self._remote(await asyncio.wrap_future(self._url)).rest_client()

    def _remote(self, url: str) -> RemoteService:
        return RemoteService(url, LOOPBACK_KEY, self._start_timeout_s, self._patience_s)

    def close(self) -> None:
        """Ask the server to end, which finishes its saves; kill it if it does not."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.terminate()
        try:
            self._ended.result(timeout=_STOP_TIMEOUT_S)
        except TimeoutError:
            self.process.kill()
            self._ended.result(timeout=_STOP_TIMEOUT_S)


def _import_client() -> None:
    import_module("tinker")
    in_daemon_thread(lambda: import_module("renderers"))


def _describe(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
