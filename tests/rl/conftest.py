"""One embedded server for all tests of this folder, and runs against it."""

import json
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import chz
import pytest
from hypothesis import settings
from tinkery_core.backend import LocalBackend
from tinkery_core.model import ModelConfig
from tinkery_core.run import open_run
from tinkery_recipes_math.arithmetic import ArithmeticBuilder
from tinkery_rl.algorithm import Algorithm
from tinkery_rl.config import RLConfig
from tinkery_rl.losses import ImportanceSampling
from tinkery_rl.modes import OnPolicy
from tinkery_rl.train import train

# No test judges by the clock: a property's first example may have to import the SDK.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

START_TIMEOUT_S = 120


@dataclass(frozen=True)
class Server:
    """An embedded server, and the folder where it keeps checkpoints."""

    url: str
    store: Path


Lines: TypeAlias = list[dict[str, float]]
"""What metrics.jsonl holds."""

Train: TypeAlias = Callable[[RLConfig], Awaitable[Lines]]


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
def server_store(server: Server) -> Path:
    """Where the server keeps checkpoints."""
    return server.store


class Configure(Protocol):
    """A small arithmetic run, with the keys given instead of its own."""

    def __call__(self, **changes: object) -> RLConfig: ...


@pytest.fixture
def configure(server: Server, tmp_path: Path) -> Configure:
    small = {
        "run_dir": str(tmp_path / "run"),
        "max_steps": 3,
        "eval_every": 2,
        "save_every": 2,
        "backend": LocalBackend(base_url=server.url),
        "model": ModelConfig(name="tinkery/tiny", renderer="deepseek-v3"),
        "env": ArithmeticBuilder(num_test_problems=8, num_test_samples=2),
        "algorithm": Algorithm(
            baseline="group_mean",
            scale="group_std",
            length_normalisation="per_trajectory",
            loss=ImportanceSampling(),
        ),
        "mode": OnPolicy(),
        "learning_rate": 2e-3,
        "groups_per_batch": 4,
        "group_size": 8,
        "max_tokens": 8,
    }

    def make(**changes: object) -> RLConfig:
        return chz.Blueprint(RLConfig).apply(small | changes).make()

    return make


@pytest.fixture
def trained() -> Train:
    """Trains as configured, in the config's run folder, and returns the lines of metrics.jsonl."""

    async def run_training(config: RLConfig) -> Lines:
        with open_run(config) as run:
            await train(config, run)
        return [
            json.loads(line) for line in (Path(config.run_dir) / "metrics.jsonl").read_text().splitlines()
        ]

    return run_training
