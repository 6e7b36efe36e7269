"""Killed with -9 at any point and started again, a run applies each batch once, as if unbroken."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tinkery_rl.config import RLConfig

TIMEOUT_S = 300
KILLED_RUNS = Path(__file__).with_name("killed_runs.py")

POINTS = (
    "answer=50",  # in the second batch, before any checkpoint
    "record=2",  # the first checkpoint is saved, but not on record
    "answer=40",  # resumed from nothing: in the second batch again
    "line=3",  # with a checkpoint after 2 batches on record
    "answer=30",  # in the evaluation that a resumed run begins with
    "record=5",  # all is done, but not on record
    "end",
)


def run_script(config: RLConfig, folder: Path, *points: str) -> None:
    pickled = folder / f"{Path(config.run_dir).name}.pickle"
    pickled.write_bytes(pickle.dumps(config))
    subprocess.run([sys.executable, str(KILLED_RUNS), str(pickled), *points], check=True, timeout=TIMEOUT_S)


def metrics(config: RLConfig) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (Path(config.run_dir) / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]


def rollouts(config: RLConfig) -> str:
    return (Path(config.run_dir) / "rollouts.jsonl").read_text()


def final_weights(config: RLConfig, store: Path) -> dict[str, bytes]:
    """The files of the final checkpoint, weights and optimizer."""
    last = json.loads((Path(config.run_dir) / "checkpoints.jsonl").read_text().splitlines()[-1])
    assert last["kind"] == "final"
    folder = store / str(last["state_path"]).removeprefix("tinker://")
    files = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    assert files
    return files


def test_killed_runs_end_like_an_unbroken_one(
    configure: Callable[..., RLConfig], server_store: Path, tmp_path: Path
) -> None:
    unbroken = configure(max_steps=5, run_dir=str(tmp_path / "unbroken"))
    killed = configure(max_steps=5, run_dir=str(tmp_path / "killed"))
    run_script(unbroken, tmp_path, "end")
    run_script(killed, tmp_path, *POINTS)
    assert [line["step"] for line in metrics(killed)] == [0, 1, 2, 3, 4, 5]
    assert metrics(killed) == metrics(unbroken)
    assert rollouts(killed) == rollouts(unbroken)
    assert final_weights(killed, server_store) == final_weights(unbroken, server_store)
