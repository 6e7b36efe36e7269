"""Tracking in Weights & Biases, offline: off unless asked, and one wandb run for one run folder."""

from pathlib import Path

import pytest
from tinkery_core import wandb_sink
from tinkery_demo.calling import NO_SERVER, Call

OFFLINE = ("logging.wandb.project=tests", "logging.wandb.mode=offline", NO_SERVER, "run_dir=here")


def test_a_resumed_run_continues_the_same_wandb_run(call: Call) -> None:
    for _ in range(2):
        ended = call(*OFFLINE)
        assert (ended.status, ended.err) == (0, "")
    run_id = Path("here/wandb_id.txt").read_text()
    runs = [path.name for path in Path("here/wandb").glob("offline-run-*")]
    assert runs
    assert all(name.endswith(f"-{run_id}") for name in runs)


def test_without_a_key_nobody_is_asked_for_one(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    ended = call("logging.wandb.project=tests", NO_SERVER, "run_dir=here")
    assert ended.status == 2
    assert ended.err.startswith("logging.wandb.project=tests: wandb cannot start: No API key configured.")
    assert ended.err.endswith("or logging.wandb.mode=offline to track without a network and a key.\n")


def test_off_unless_asked(call: Call) -> None:
    assert call(NO_SERVER, "run_dir=here").status == 0
    assert not Path("here/wandb").exists()


def test_without_the_package(call: Call, monkeypatch: pytest.MonkeyPatch, workplace: Path) -> None:
    monkeypatch.setattr(wandb_sink, "PACKAGE", "wandb_that_nobody_installed")
    ended = call(*OFFLINE)
    assert ended.status == 2
    assert ended.err == (
        "logging.wandb.project=tests needs the package wandb, which is not installed.\n"
        "Type `uv add wandb`, or leave logging.wandb out: metrics.jsonl is always written.\n"
    )
    assert list(workplace.iterdir()) == []
