"""What holds for every test, and the embedded server that the trainers' tests share.

Nothing reaches beyond this machine: set before any test module is imported, because the hub's client reads it once, on
import.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TINKER_TELEMETRY"] = "0"

# No test judges by the clock: a property's first example may have to import the SDK.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

START_TIMEOUT_S = 120


@dataclass(frozen=True)
class Server:
    """An embedded server, and the folder where it keeps checkpoints."""

    url: str
    store: Path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """An embedded server that lives as long as the tests."""
    folder = tmp_path_factory.mktemp("server")
    store = folder / "store"
    options = f"serve --port 0 --announce --exit-with-stdin --store {store}"
    command = [sys.executable, "-m", "tinkery_local", *options.split()]
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        deadline = threading.Timer(START_TIMEOUT_S, process.kill)
        deadline.start()
        announced = process.stdout.readline()
        deadline.cancel()
        assert announced, f"the server did not start: {(folder / 'server.log').read_text()}"
        yield Server(json.loads(announced)["url"], store)
        process.stdin.close()
        process.wait(timeout=START_TIMEOUT_S)


@pytest.fixture(scope="session")
def server_url(server: Server) -> str:
    """Where the server listens."""
    return server.url


@pytest.fixture(scope="session")
def server_store(server: Server) -> Path:
    """Where the server keeps checkpoints."""
    return server.store
