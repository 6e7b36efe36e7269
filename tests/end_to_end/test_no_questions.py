"""A launch script never waits for somebody to type: there may be nobody, as in a batch job."""

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).parent / "train-math"
OVERRIDES = [
    "+experiment=grpo_small",
    "max_steps=1",
    "groups_per_batch=2",
    "group_size=2",
    "env.num_test_problems=2",
    "run_dir=here",
]
BOUND_S = 120


@contextmanager
def open_but_empty() -> Generator[int]:
    """A pipe in which nothing ever comes, and which doesn't end either: who reads it waits for ever."""
    read, write = os.pipe()
    yield read
    os.close(write)
    os.close(read)


def close_stdin() -> None:
    os.close(0)


@pytest.mark.parametrize(
    ("overrides", "before", "status"),
    [
        pytest.param([], close_stdin, 0, id="train, stdin closed"),
        pytest.param(["dry_run=true"], None, 0, id="dry run, stdin silent"),
        pytest.param(["logging.wandb.project=tests"], None, 2, id="wandb without a key, stdin silent"),
        pytest.param(["backend=hosted"], close_stdin, 2, id="hosted without a key, stdin closed"),
    ],
)
def test_a_script_reads_nothing(
    overrides: list[str], before: Callable[[], None] | None, status: int, tmp_path: Path
) -> None:
    hidden = ("WANDB_API_KEY", "TINKER_API_KEY", "TINKER_CREDENTIAL_CMD")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    env.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))  # compiled programs are no secrets
    with open_but_empty() as stdin:
        ended = subprocess.run(
            [SCRIPT, *OVERRIDES, *overrides],
            stdin=stdin,
            capture_output=True,
            text=True,
            preexec_fn=before,
            cwd=tmp_path,
            env={**env, "HOME": str(tmp_path)},
            timeout=BOUND_S,
        )
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr
