"""A server of one's own for a test or a script: a child process on a free port that never outlives its parent."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from dataclasses import dataclass

START_SECONDS = 120.0
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class RunningServer:
    """A server that is ready; `models` are the names of the base models that it serves."""

    url: str
    models: list[str]
    process: subprocess.Popen[str]

    def stop(self) -> int:
        """Ask it to stop, and wait for it; returns its exit status."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def running_server(*arguments: str, env: dict[str, str] | None = None) -> Generator[RunningServer]:
    """Run `tinkery-local serve` with these arguments, from when it is ready until the block ends.

    Raises RuntimeError with what it wrote on stderr if it ends before it is ready, or is not ready in time.
    """
    serve = ["serve", "--port", "0", "--announce", "--exit-with-stdin", *arguments]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tinkery_local", *serve],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **(env or {})},
        ) as process,
    ):
        try:
            line = _first_line(process)
            if not line:
                process.wait(STOP_SECONDS)
                log.seek(0)
                raise RuntimeError(
                    f"the server did not start (exit status {process.returncode}):\n{log.read()}"
                )
            announced = json.loads(line)
            yield RunningServer(announced["url"], announced["models"], process)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()


def _first_line(process: "subprocess.Popen[str]") -> str:
    """What the server announces; nothing if it ends first, or is killed because it takes too long."""
    assert process.stdout is not None
    too_long = threading.Timer(START_SECONDS, process.kill)
    too_long.start()
    try:
        return process.stdout.readline()
    finally:
        too_long.cancel()
