"""Multirun: one run a combination, side by side or one after the other, each in its own folder."""

import pickle
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinkery_core.config.loader import job_name
from tinkery_core.jsonl import read_lines
from tinkery_core.launch import Script
from tinkery_demo.calling import NO_SERVER, Call, Spawn


def rewards(run_dir: Path) -> list[object]:
    return [record["env/all/reward/total"] for record in read_lines(run_dir / "metrics.jsonl")]


def test_one_after_the_other(call: Call) -> None:
    ended = call("-m", NO_SERVER, "max_steps=2", "task.scale=1,2", "seed=5,6")
    assert ended.status == 0
    assert ended.out.splitlines()[-1] == "4 of 4 runs succeeded"
    (sweep_dir,) = Path("runs/demo").iterdir()
    assert {path.name: rewards(path) for path in sweep_dir.iterdir() if path.is_dir()} == {
        "seed=5__task.scale=1": [0.0, 1.0],
        "seed=6__task.scale=1": [0.0, 1.0],
        "seed=5__task.scale=2": [0.0, 2.0],
        "seed=6__task.scale=2": [0.0, 2.0],
    }


def test_side_by_side(spawn: Spawn) -> None:
    process = spawn(
        "-m", NO_SERVER, "seed=1,2", "run_dir=here", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"
    )
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert sorted(path.name for path in Path("here").iterdir()) == ["multirun.yaml", "seed=1", "seed=2"]
    assert rewards(Path("here/seed=1")) == rewards(Path("here/seed=2")) == [0.0, 1.0, 2.0]
    assert "[seed=1] step    2/3  reward 2" in output
    resume = next(line for line in output.splitlines() if line.startswith("[seed=2]   "))
    assert shlex.split(resume)[-2:] == ["seed=2", 'run_dir="here/seed=2"']


def test_a_failed_run_does_not_stop_the_others_but_fails_the_sweep(call: Call) -> None:
    ended = call("-m", NO_SERVER, "task=fail", "task.how=odd_seed", "seed=1,2", "run_dir=here")
    assert ended.status == 1
    assert ended.out.splitlines()[-2:] == ["1 of 2 runs succeeded", "  failed: here/seed=1"]


def test_a_wrong_value_in_one_run(call: Call) -> None:
    ended = call("-m", NO_SERVER, "batch_size=0,4", "run_dir=here")
    assert ended.status == 2
    assert ended.err == "batch_size=0 (command line): expected at least 1.\n"
    assert ended.out.splitlines()[-2:] == ["1 of 2 runs succeeded", "  failed: here/batch_size=0"]


def test_the_same_sweep_again_resumes_each_run(call: Call) -> None:
    arguments = ("-m", NO_SERVER, "seed=1,2", "run_dir=here")
    assert call(*arguments).status == 0
    assert call(*arguments).status == 0


def test_a_dry_sweep_leaves_nothing(call: Call, workplace: Path) -> None:
    ended = call("-m", "dry_run=true", "seed=1,2")
    assert ended.status == 0
    assert ended.out.count("Nothing was started.") == 2
    assert list(workplace.iterdir()) == []


def test_sweep_errors_of_composition(call: Call) -> None:
    assert call("-m", "task=cuont,count").status == 2
    assert call("-m", "seed=1,2", "+experiment=lnog").err.startswith("experiment=lnog: there is no such file")


def test_a_script_travels_to_workers_by_name(demo: Script) -> None:
    assert pickle.loads(pickle.dumps(demo)) is demo


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["seed=1"], "seed=1"),
        (["seed=1", "+experiment=x"], None),
        (["task.scale=1e-3", "seed=1"], "seed=1__task.scale=1e-3"),
        ([], "single"),
    ],
)
def test_job_names(overrides: list[str], name: str | None) -> None:
    assert name is None or job_name(overrides) == name


@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=4),
    st.lists(st.text(min_size=1), min_size=1, max_size=4),
)
def test_job_names_are_folder_names_that_do_not_collide(one: list[str], other: list[str]) -> None:
    assert "/" not in job_name(one)
    assert 0 < len(job_name(one).encode()) < 255
    if "__".join(sorted(one)) != "__".join(sorted(other)):
        assert job_name(one) != job_name(other)
