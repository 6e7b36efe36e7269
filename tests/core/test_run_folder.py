"""The run folder: one process at a time, one config, resumed exactly once."""

import errno
import json
import os
from pathlib import Path

import pytest
from tinkery_core.backend import LocalBackend
from tinkery_core.checkpoints import Checkpoint, CheckpointKind
from tinkery_core.errors import UserError
from tinkery_core.jsonl import append_lines, read_lines
from tinkery_core.model import ModelConfig
from tinkery_core.run import Run, open_run
from tinkery_core.tracking import LoggingConfig
from tinkery_demo.script import Count, DemoConfig


def make_config(
    *, seed: int = 0, scale: float = 1.0, rollouts: bool = True, dry_run: bool = False
) -> DemoConfig:
    return DemoConfig(
        run_dir="here",
        seed=seed,
        dry_run=dry_run,
        backend=LocalBackend(base_url="http://127.0.0.1:9"),
        model=ModelConfig(name="tinkery/tiny", renderer="deepseek-v3"),
        logging=LoggingConfig(rollouts=rollouts),
        task=Count(scale=scale),
    )


def steps(name: str) -> list[object]:
    return [record["step"] for record in read_lines(Path("here") / name)]


def checkpoint(step: int, kind: CheckpointKind = "periodic") -> Checkpoint:
    return Checkpoint(step, kind, f"tinker://x/weights/{step}", f"tinker://x/sampler_weights/{step}")


def train(run: Run, first: int, last: int) -> None:
    for step in range(first, last):
        run.log_metrics(step, {"env/all/reward/total": step / 7})
        run.log_rollouts([{"step": step, "member": member} for member in range(2)])


def test_files_of_a_run() -> None:
    with open_run(make_config()) as run:
        assert run.resume is None
        run.log_metrics(0, {"env/all/reward/total": 0.5, "optim/lr": 1})
        run.log_rollouts([{"step": 0, "messages": [{"role": "user", "content": "größe"}]}])
        run.checkpoints.append(checkpoint(1))
        run.print("a word")
    here = Path("here")
    assert here.joinpath("metrics.jsonl").read_text() == (
        '{"step": 0, "env/all/reward/total": 0.5, "optim/lr": 1.0}\n'
    )
    assert list(read_lines(here / "rollouts.jsonl")) == [
        {"step": 0, "messages": [{"role": "user", "content": "größe"}]}
    ]
    assert json.loads(here.joinpath("checkpoints.jsonl").read_text()) == {
        "step": 1,
        "kind": "periodic",
        "state_path": "tinker://x/weights/1",
        "sampler_path": "tinker://x/sampler_weights/1",
    }
    assert here.joinpath("log.txt").read_text().split(" ", 1)[1] == "a word\n"


def test_rollouts_can_be_left_out() -> None:
    with open_run(make_config(rollouts=False)) as run:
        run.log_rollouts([{"step": 0}])
    assert not Path("here/rollouts.jsonl").exists()


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ([], []),
        ([checkpoint(2)], [0, 1]),
        ([checkpoint(2), checkpoint(4)], [0, 1, 2, 3]),
        ([checkpoint(2), checkpoint(4, "final")], [0, 1, 2, 3, 4]),
    ],
)
def test_reopening_cuts_off_what_the_last_checkpoint_has_not_seen(
    saved: list[Checkpoint], expected: list[int]
) -> None:
    with open_run(make_config()) as run:
        train(run, 0, 5)
        for record in saved:
            run.checkpoints.append(record)
    with open_run(make_config()) as run:
        assert run.resume == (saved[-1] if saved else None)
    assert steps("metrics.jsonl") == expected
    assert steps("rollouts.jsonl") == [step for step in expected for _ in range(2)]


def test_values_are_kept_to_the_last_bit() -> None:
    with open_run(make_config()) as run:
        train(run, 0, 5)
        run.checkpoints.append(checkpoint(5))
    before = Path("here/metrics.jsonl").read_bytes()
    with open_run(make_config()):
        pass
    assert Path("here/metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["metrics.jsonl", "rollouts.jsonl", "checkpoints.jsonl"])
def test_a_half_written_last_line_is_dropped(name: str) -> None:
    with open_run(make_config()) as run:
        train(run, 0, 3)
        run.checkpoints.append(checkpoint(3))
    with Path("here", name).open("a") as file:
        file.write('{"step": 3, "ki')
    with open_run(make_config()) as run:
        assert run.resume == checkpoint(3)
        train(run, 3, 4)
        run.checkpoints.append(checkpoint(4))
    assert steps("metrics.jsonl") == [0, 1, 2, 3]
    assert steps("checkpoints.jsonl") == [3, 4]


def test_a_different_config_is_refused() -> None:
    with open_run(make_config()) as run:
        train(run, 0, 1)
    with pytest.raises(UserError) as error, open_run(make_config(seed=2, scale=0.5)):
        pass
    assert str(error.value) == (
        "run_dir=here holds a run with a different config:\n"
        "  seed: 0 there, 2 here\n"
        "  task.scale: 1.0 there, 0.5 here\n"
        "Choose another run_dir, or type the same config again to resume."
    )


def test_a_moved_folder_resumes(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_run(make_config()) as run:
        run.checkpoints.append(checkpoint(1))
    workplace.joinpath("moved").mkdir()
    Path("here").rename("moved/here")
    monkeypatch.chdir("moved")
    with open_run(make_config()) as run:
        assert run.resume == checkpoint(1)


def test_two_runs_at_once_are_refused() -> None:
    with open_run(make_config()), pytest.raises(UserError) as error, open_run(make_config()):
        pass
    assert str(error.value) == (
        f"run_dir=here is in use by another run (process {os.getpid()}).\n"
        "Wait until it ends, or choose another run_dir."
    )
    with open_run(make_config()):
        pass


def test_a_folder_of_something_else_is_refused() -> None:
    Path("here").mkdir()
    Path("here/thesis.tex").touch()
    with pytest.raises(UserError) as error, open_run(make_config()):
        pass
    assert str(error.value) == (
        "run_dir=here holds no run but other files, e.g. thesis.tex.\nChoose a new or an empty folder."
    )
    assert [path.name for path in Path("here").iterdir()] == ["thesis.tex"]


def test_a_dry_run_leaves_nothing(workplace: Path) -> None:
    with open_run(make_config(dry_run=True)) as run:
        assert run.dry_run
        with pytest.raises(RuntimeError, match="connects to no service"):
            run.connect()
    assert list(workplace.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_names_the_file() -> None:
    with open_run(make_config()) as run:
        Path("here/metrics.jsonl").symlink_to("/dev/full")
        with pytest.raises(OSError, match=r"No space left on device: 'here/metrics\.jsonl'") as error:
            run.log_metrics(0, {"env/all/reward/total": 0.0})
        assert error.value.errno == errno.ENOSPC
        Path("here/metrics.jsonl").unlink()


def test_lines_are_appended_by_one_write(workplace: Path) -> None:
    append_lines(workplace / "x.jsonl", ["{}"] * 2)
    append_lines(workplace / "x.jsonl", [])
    assert (workplace / "x.jsonl").read_text() == "{}\n{}\n"
