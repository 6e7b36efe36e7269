"""Killed with -9 at any point and started again, a run applies each batch once, as if unbroken."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tinkery_supervised.config import SupervisedConfig

TIMEOUT_S = 300
KILLED_RUNS = Path(__file__).with_name("killed_runs.py")

POINTS = {
    0: (
        "record=2",  # the first checkpoint is saved, but not on record
        "update=2",  # before any checkpoint
        "end",
    ),
    1: (
        "line=3",  # with a checkpoint after 2 batches on record
        "end",
    ),
    2: (
        "update=3",  # three steps in the queue
        "record=5",  # all is done, but not on record
        "end",
    ),
}
"""Where the runs are killed, by how many steps are submitted ahead."""


def run_all(trainings: list[tuple[SupervisedConfig, tuple[str, ...]]], folder: Path) -> None:
    pickled = folder / "trainings.pickle"
    pickled.write_bytes(pickle.dumps(trainings))
    subprocess.run([sys.executable, str(KILLED_RUNS), str(pickled)], check=True, timeout=TIMEOUT_S)


def metrics(config: SupervisedConfig) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (Path(config.run_dir) / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]


def rollouts(config: SupervisedConfig) -> str:
    return (Path(config.run_dir) / "rollouts.jsonl").read_text()


def final_weights(config: SupervisedConfig, store: Path) -> dict[str, bytes]:
    """The files of the final checkpoint, weights and optimizer."""
    last = json.loads((Path(config.run_dir) / "checkpoints.jsonl").read_text().splitlines()[-1])
    assert last["kind"] == "final"
    folder = store / str(last["state_path"]).removeprefix("tinker://")
    files = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    assert files
    return files


def test_killed_runs_end_like_an_unbroken_one_whatever_is_submitted_ahead(
    configure: Callable[..., SupervisedConfig], server_store: Path, tmp_path: Path
) -> None:
    changes = {"max_steps": 5, "batch_tokens": 200, "batch_size": 16, "num_answers": 2}
    unbroken = configure(run_dir=str(tmp_path / "unbroken"), submit_ahead=0, **changes)
    killed = {
        ahead: configure(run_dir=str(tmp_path / f"killed{ahead}"), submit_ahead=ahead, **changes)
        for ahead in POINTS
    }
    run_all([(unbroken, ("end",)), *((killed[ahead], POINTS[ahead]) for ahead in POINTS)], tmp_path)
    assert [line["step"] for line in metrics(unbroken)] == [0, 1, 2, 3, 4, 5]
    for config in killed.values():
        assert metrics(config) == metrics(unbroken)
        assert rollouts(config) == rollouts(unbroken)
        assert final_weights(config, server_store) == final_weights(unbroken, server_store)
