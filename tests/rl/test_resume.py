"""Killed with -9 at any point and started again, a run applies each batch once, as if unbroken."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tinkery_rl.algorithm import Algorithm
from tinkery_rl.config import RLConfig
from tinkery_rl.modes import Mode, OffPolicy, OnPolicy, Streamed
from tinkery_rl.reference import KLPenalty

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
FEWER_POINTS = ("record=2", "line=3", "answer=30", "end")


def run_script(config: RLConfig, folder: Path, *points: str) -> None:
    pickled = folder / f"{Path(config.run_dir).name}.pickle"
    pickled.write_bytes(pickle.dumps(config))
    subprocess.run([sys.executable, str(KILLED_RUNS), str(pickled), *points], check=True, timeout=TIMEOUT_S)


def metrics(config: RLConfig) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (Path(config.run_dir) / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]


def rollouts(config: RLConfig) -> str:
    return (Path(config.run_dir) / "rollouts.jsonl").read_text()


def problems(config: RLConfig) -> list[tuple[int, int, str]]:
    """Step, group and question of each group that was applied, in the order of the file."""
    records = [json.loads(line) for line in rollouts(config).splitlines()]
    return [(r["step"], r["group"], r["messages"][0]["content"]) for r in records if r["member"] == 0]


def final_weights(config: RLConfig, store: Path) -> dict[str, bytes]:
    """The files of the final checkpoint, weights and optimizer."""
    last = json.loads((Path(config.run_dir) / "checkpoints.jsonl").read_text().splitlines()[-1])
    assert last["kind"] == "final"
    folder = store / str(last["state_path"]).removeprefix("tinker://")
    files = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    assert files
    return files


def num_optimizer_steps(config: RLConfig, store: Path) -> int:
    """How many optimizer steps the final weights have seen."""
    last = json.loads((Path(config.run_dir) / "checkpoints.jsonl").read_text().splitlines()[-1])
    folder = store / str(last["state_path"]).removeprefix("tinker://")
    summaries = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return max(int(summary["step"]) for summary in summaries if "step" in summary)


DETERMINISTIC = {
    "on_policy": {"mode": OnPolicy()},
    # The reference is what the run began with, however often it was resumed; two optimizer steps a batch.
    "penalised": {
        "mode": OnPolicy(),
        "num_substeps": 2,
        "algorithm": Algorithm(
            baseline="group_mean",
            scale="none",
            length_normalisation="per_token",
            kl_penalty=KLPenalty(coef=0.05),
        ),
    },
    "streamed": {"mode": Streamed(num_minibatches=2, in_order=True)},
}


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_killed_runs_end_like_an_unbroken_one(
    name: str, configure: Callable[..., RLConfig], server_store: Path, tmp_path: Path
) -> None:
    keys = {"max_steps": 5, "num_groups_to_log": 4} | DETERMINISTIC[name]
    unbroken = configure(run_dir=str(tmp_path / "unbroken"), **keys)
    killed = configure(run_dir=str(tmp_path / "killed"), **keys)
    run_script(unbroken, tmp_path, "end")
    run_script(killed, tmp_path, *(POINTS if name == "on_policy" else FEWER_POINTS))
    assert [line["step"] for line in metrics(killed)] == [0, 1, 2, 3, 4, 5]
    assert metrics(killed) == metrics(unbroken)
    assert rollouts(killed) == rollouts(unbroken)
    assert final_weights(killed, server_store) == final_weights(unbroken, server_store)


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(Streamed(num_minibatches=2), id="streamed"),
        pytest.param(OffPolicy(max_steps_off_policy=1), id="off_policy 1"),
        pytest.param(OffPolicy(max_steps_off_policy=3), id="off_policy 3"),
    ],
)
def test_killed_runs_of_other_modes_apply_the_same_batches_once(
    mode: Mode, configure: Callable[..., RLConfig], server_store: Path, tmp_path: Path
) -> None:
    """What arrives first differs from run to run, but not what is trained on, nor in which step."""
    keys = {"max_steps": 5, "num_groups_to_log": 4, "mode": mode}
    unbroken = configure(run_dir=str(tmp_path / "unbroken"), **keys)
    killed = configure(run_dir=str(tmp_path / "killed"), **keys)
    run_script(unbroken, tmp_path, "end")
    run_script(killed, tmp_path, "answer=50", *FEWER_POINTS)
    assert [line["step"] for line in metrics(killed)] == [0, 1, 2, 3, 4, 5]
    assert problems(killed) == problems(unbroken)
    assert len(problems(killed)) == 5 * 4
    for run in (killed, unbroken):
        trained = [line["optim/num_datums"] > 0 for line in metrics(run)[:-1]]
        assert num_optimizer_steps(run, server_store) == sum(trained)
