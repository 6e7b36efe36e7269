"""`train-math` as it is typed: each shipped YAML, and a run that learns."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from tinkery_core.config.compose import compose
from tinkery_core.config.loader import make_loader
from tinkery_core.config.resolve import resolve
from tinkery_recipes_math.arithmetic import ArithmeticBuilder
from tinkery_recipes_math.train import train_math
from tinkery_rl.config import RLConfig


def options(group: str) -> list[str]:
    folder = files("tinkery_recipes_math.conf").joinpath(group)
    return sorted(path.name.removesuffix(".yaml") for path in folder.iterdir() if path.name.endswith(".yaml"))


def resolved(*overrides: str) -> RLConfig:
    loader = make_loader("tinkery_recipes_math.conf", None)
    return resolve(RLConfig, compose(loader, "train_math", "train-math", list(overrides)))


@pytest.mark.parametrize(
    "override",
    [f"env={name}" for name in options("env")] + [f"+experiment={name}" for name in options("experiment")],
)
def test_each_yaml_resolves_and_builds(override: str) -> None:
    config = resolved(override)
    datasets = config.env(config.setup)
    assert datasets.test is not None
    assert len(datasets.train.get_batch(0)) == config.groups_per_batch


def test_the_defaults_are_the_tiny_model_and_grpo_on_additions() -> None:
    config = resolved()
    assert config.model.name == "tinkery/tiny"
    assert config.algorithm.scale == "group_std"
    assert config.env == ArithmeticBuilder()


def test_the_small_experiment_learns_to_add(tmp_path: Path) -> None:
    """A shortened run; the whole one, over five seeds, is a benchmark."""
    folder = tmp_path / "run"
    shortened = ["max_steps=12", "eval_every=0", "env.num_test_problems=25"]
    assert train_math.main(["+experiment=grpo_small", *shortened, f"run_dir={folder}"]) == 0
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    rewards = [line["env/all/reward/total"] for line in lines[:-1]]
    assert len(rewards) == 12
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.15
    assert lines[-1]["step"] == 12
    assert lines[-1]["test/env/all/reward/total"] > rewards[0]
