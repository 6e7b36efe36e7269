"""One run that everything happens to, beside one that nothing happens to: both end with the same metrics."""

import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watching a process end needs Linux")

OVERRIDES = [
    "+experiment=grpo_small",
    "max_steps=8",
    "groups_per_batch=4",
    "group_size=8",
    "save_every=2",
    "eval_every=4",
    "env.num_test_problems=4",
]
BOUND_S = 120


class MainJob:
    """The command as a process, with its output line by line."""

    def __init__(self, run_dir: Path, file_size_limit: int = resource.RLIM_INFINITY) -> None:
        script = Path(sys.executable).parent / "train-math"

        def limit_file_size() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size_limit, resource.RLIM_INFINITY))

        self.process = subprocess.Popen(
            [script, *OVERRIDES, f"run_dir={run_dir}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=limit_file_size,
        )
        self.output = ""

    def read_until(self, pattern: str) -> None:
        assert self.process.stdout is not None
        while not re.search(pattern, self.output):
            line = self.process.stdout.readline()
            assert line, f"the run ended before it printed {pattern!r}:\n{self.output}"
            self.output += line

    def server(self) -> int:
        """A pidfd of the run's embedded server, its only child."""
        pid = self.process.pid
        children = [
            child
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
        (server,) = [
            int(child) for child in children if "tinkery_local" in Path(f"/proc/{child}/cmdline").read_text()
        ]
        return os.pidfd_open(server)

    def end(self) -> int:
        rest, _ = self.process.communicate(timeout=BOUND_S)
        self.output += rest
        return self.process.returncode


def has_ended(pidfd: int) -> bool:
    readable, _, _ = select.select([pidfd], [], [], BOUND_S)
    os.close(pidfd)
    return bool(readable)


def metrics(run_dir: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]


def test_an_interrupted_run_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    unbroken = MainJob(tmp_path / "unbroken")
    assert unbroken.end() == 0, unbroken.output

    run_dir = tmp_path / "interrupted"
    resume = rf"To resume:\n  (uv run )?train-math {re.escape(' '.join(OVERRIDES))} run_dir={run_dir}\n"

    killed = MainJob(run_dir)
    killed.read_until(r"step +2/8")
    server = killed.server()
    killed.process.kill()
    assert killed.end() == -signal.SIGKILL
    assert has_ended(server)

    interrupted = MainJob(run_dir)
    interrupted.read_until(r"step +3/8")
    server = interrupted.server()
    interrupted.process.send_signal(signal.SIGINT)
    assert interrupted.end() == 130
    assert "Interrupted. What was saved is complete." in interrupted.output
    assert re.search(resume, interrupted.output), interrupted.output
    assert has_ended(server)

    abandoned = MainJob(run_dir)
    abandoned.read_until(r"step +4/8")
    server = abandoned.server()
    signal.pidfd_send_signal(server, signal.SIGKILL)
    assert abandoned.end() == 1
    assert "The embedded server has ended (signal 9)" in abandoned.output
    assert re.search(resume, abandoned.output), abandoned.output
    assert "Traceback" not in abandoned.output

    # A limit on the size of files stands in for a full disk: the next checkpoint doesn't fit.
    full = MainJob(run_dir, file_size_limit=100_000)
    assert full.end() == 1
    assert "File too large" in full.output
    assert re.search(resume, full.output), full.output
    assert "Traceback" not in full.output

    finished = MainJob(run_dir)
    assert finished.end() == 0, finished.output
    assert [line["step"] for line in metrics(run_dir)] == list(range(9))
    assert metrics(run_dir) == metrics(tmp_path / "unbroken")
