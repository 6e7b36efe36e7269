"""Small arithmetic runs against the shared embedded server."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeAlias

import chz
import pytest
from tinkery_core.backend import LocalBackend
from tinkery_core.model import ModelConfig
from tinkery_core.run import open_run
from tinkery_recipes_math.arithmetic import ArithmeticBuilder
from tinkery_rl.algorithm import Algorithm
from tinkery_rl.config import RLConfig
from tinkery_rl.losses import ImportanceSampling
from tinkery_rl.modes import OnPolicy
from tinkery_rl.train import train

Lines: TypeAlias = list[dict[str, float]]
"""What metrics.jsonl holds."""

Train: TypeAlias = Callable[[RLConfig], Awaitable[Lines]]


class Configure(Protocol):
    """A small arithmetic run, with the keys given instead of its own."""

    def __call__(self, **changes: object) -> RLConfig: ...


@pytest.fixture
def configure(server_url: str, tmp_path: Path) -> Configure:
    small = {
        "run_dir": str(tmp_path / "run"),
        "max_steps": 3,
        "eval_every": 2,
        "save_every": 2,
        "backend": LocalBackend(base_url=server_url),
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
