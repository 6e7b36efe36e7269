"""Small runs on conversations of a few words, against the shared embedded server."""

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeAlias

import chz
import pytest
from tinkery_core.backend import LocalBackend
from tinkery_core.model import ModelConfig
from tinkery_core.run import open_run
from tinkery_supervised.config import SupervisedConfig
from tinkery_supervised.parrot.builder import ParrotBuilder
from tinkery_supervised.train import train
from tinkery_supervised.types import SupervisedSetup

TINY = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3")

Lines: TypeAlias = list[dict[str, float]]
"""What metrics.jsonl holds."""

Train: TypeAlias = Callable[[SupervisedConfig], Awaitable[Lines]]


class Configure(Protocol):
    """A small run on the bundled conversations, with the keys given instead of its own."""

    def __call__(self, **changes: object) -> SupervisedConfig: ...


class WriteChats(Protocol):
    """Writes rows, or lines as they are, to a file of JSON lines."""

    def __call__(self, rows: list[object], name: str = "chats.jsonl") -> Path: ...


@pytest.fixture(scope="session", autouse=True)
def datasets_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The package datasets reads this once, when it is imported."""
    os.environ["HF_DATASETS_CACHE"] = str(tmp_path_factory.mktemp("datasets"))


@pytest.fixture
def configure(server_url: str, tmp_path: Path) -> Configure:
    small = {
        "run_dir": str(tmp_path / "run"),
        "max_steps": 3,
        "eval_every": 2,
        "save_every": 2,
        "backend": LocalBackend(base_url=server_url),
        "model": TINY,
        "dataset": ParrotBuilder(num_test=8),
        "learning_rate": 4e-3,
        "batch_size": 8,
        "num_answers": 4,
        "max_tokens": 16,
    }

    def make(**changes: object) -> SupervisedConfig:
        return chz.Blueprint(SupervisedConfig).apply(small | changes).make()

    return make


@pytest.fixture
def setup() -> SupervisedSetup:
    """What a dataset is built for; `dataclasses.replace` changes it."""
    return SupervisedSetup(
        model=TINY,
        batch_size=4,
        batch_tokens=None,
        epochs=1,
        max_steps=None,
        max_length=None,
        on_bad_row="fail",
        seed=0,
    )


@pytest.fixture
def trained() -> Train:
    """Trains as configured, in the config's run folder, and returns the lines of metrics.jsonl."""

    async def run_training(config: SupervisedConfig) -> Lines:
        with open_run(config) as run:
            await train(config, run)
        return [
            json.loads(line) for line in (Path(config.run_dir) / "metrics.jsonl").read_text().splitlines()
        ]

    return run_training


@pytest.fixture
def write_chats(tmp_path: Path) -> WriteChats:
    def write(rows: list[object], name: str = "chats.jsonl") -> Path:
        path = tmp_path / name
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write
