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
        "update=2",  # before any checkpoint
        "record=2",  # the first checkpoint is saved, but not on record
        "end",
    ),
    1: (
        "line=3",  # with a checkpoint after 2 batches on record
        "update=1",  # resumed after that: the third batch again
        "end",
    ),
    2: (
        "update=3",  # three steps in the queue
        "line=2",
        "record=5",  # all is done, but not on record
        "end",
    ),
}
"""Where the runs are killed, by how many steps are submitted ahead."""


def run_script(config: SupervisedConfig, folder: Path, *points: str) -> None:
    pickled = folder / f"{Path(config.run_dir).name}.pickle"
    pickled.write_bytes(pickle.dumps(config))
    subprocess.run([sys.executable, str(KILLED_RUNS), str(pickled), *points], check=True, timeout=TIMEOUT_S)


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
    run_script(unbroken, tmp_path, "end")
    assert [line["step"] for line in metrics(unbroken)] == [0, 1, 2, 3, 4, 5]
    for submit_ahead, points in POINTS.items():
        killed = configure(
            run_dir=str(tmp_path / f"killed{submit_ahead}"), submit_ahead=submit_ahead, **changes
        )
        run_script(killed, tmp_path, *points)
        assert metrics(killed) == metrics(unbroken)
        assert rollouts(killed) == rollouts(unbroken)
        assert final_weights(killed, server_store) == final_weights(unbroken, server_store)
