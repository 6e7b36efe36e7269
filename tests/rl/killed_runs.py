"""Run one training again and again in one run folder, killed with -9 at point after point.

    python killed_runs.py CONFIG.pickle POINT…

Started by test_resume.py. The trainer is imported once; each run is a forked process of its own.
"""

import os
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import anyio
import renderers
import tinker
from tinkery_core.checkpoints import Checkpoint, CheckpointLog
from tinkery_core.completers import Completion
from tinkery_core.run import Run, open_run
from tinkery_rl.config import RLConfig
from tinkery_rl.envs.problem import ProblemEnv
from tinkery_rl.train import train
from tinkery_rl.types import StepResult

IMPORTED_ONCE = (renderers, tinker)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_until(point: str, config: RLConfig) -> None:
    """Train up to a point and die there.

    `answer=N` is the N-th answer, `line=K` when the line of step K is written, `record=K` the moment before
    the checkpoint after K batches goes on record. Any other point is the end.
    """
    kind, _, number = point.partition("=")
    answers = 0
    log_metrics, append, step = Run.log_metrics, CheckpointLog.append, ProblemEnv.step

    def log_and_die(run: Run, at_step: int, metrics: dict[str, float]) -> None:
        log_metrics(run, at_step, metrics)
        if kind == "line" and at_step == int(number):
            die()

    def append_or_die(log: CheckpointLog, checkpoint: Checkpoint) -> None:
        if kind == "record" and checkpoint.step == int(number):
            die()
        append(log, checkpoint)

    async def step_or_die(env: ProblemEnv, action: Completion) -> StepResult:
        nonlocal answers
        answers += 1
        if kind == "answer" and answers == int(number):
            die()
        return await step(env, action)

    async def main() -> None:
        with open_run(config) as run:
            await train(config, run)

    with (
        patch.object(Run, "log_metrics", log_and_die),
        patch.object(CheckpointLog, "append", append_or_die),
        patch.object(ProblemEnv, "step", step_or_die),
    ):
        anyio.run(main)


def in_child(function: Callable[[], None]) -> int:
    """Exit status of a forked process that runs the function; minus the signal's number if one ended it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    config: RLConfig = pickle.loads(Path(sys.argv[1]).read_bytes())
    for point in sys.argv[2:]:
        status = in_child(lambda point=point: run_until(point, config))
        if status != (0 if point == "end" else -signal.SIGKILL):
            sys.exit(f"the run to {point} ended with status {status}")
