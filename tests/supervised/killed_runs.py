"""Run trainings again and again, each in a run folder of its own, killed with -9 at point after point.

    python killed_runs.py CONFIGS_AND_POINTS.pickle

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
from tinkery_core.checkpoint_log import Checkpoint, CheckpointLog
from tinkery_core.run import Run, open_run
from tinkery_supervised.config import SupervisedConfig
from tinkery_supervised.cross_entropy import CrossEntropy, PendingUpdate
from tinkery_supervised.train import train
from tinkery_supervised.types import Batch

IMPORTED_ONCE = (renderers, tinker)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_until(point: str, config: SupervisedConfig) -> None:
    """Train up to a point and die there.

    `update=N` is when the N-th update of this process is enqueued, `line=K` when the line of step K is written,
    `record=K` the moment before the checkpoint after K batches goes on record. Any other point is the end.
    """
    kind, _, number = point.partition("=")
    updates = 0
    log_metrics, append, enqueue_update = Run.log_metrics, CheckpointLog.append, CrossEntropy.enqueue_update

    def log_and_die(run: Run, at_step: int, metrics: dict[str, float]) -> None:
        log_metrics(run, at_step, metrics)
        if kind == "line" and at_step == int(number):
            die()

    def append_or_die(log: CheckpointLog, checkpoint: Checkpoint) -> None:
        if kind == "record" and checkpoint.step == int(number):
            die()
        append(log, checkpoint)

    async def enqueue_and_die(
        objective: CrossEntropy, batch: Batch, adam: tinker.AdamParams
    ) -> PendingUpdate:
        nonlocal updates
        update = await enqueue_update(objective, batch, adam)
        updates += 1
        if kind == "update" and updates == int(number):
            die()
        return update

    async def main() -> None:
        with open_run(config) as run:
            await train(config, run)

    with (
        patch.object(Run, "log_metrics", log_and_die),
        patch.object(CheckpointLog, "append", append_or_die),
        patch.object(CrossEntropy, "enqueue_update", enqueue_and_die),
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
    trainings: list[tuple[SupervisedConfig, tuple[str, ...]]] = pickle.loads(Path(sys.argv[1]).read_bytes())
    for config, points in trainings:
        for point in points:
            status = in_child(lambda config=config, point=point: run_until(point, config))
            if status != (0 if point == "end" else -signal.SIGKILL):
                sys.exit(f"{config.run_dir}: the run to {point} ended with status {status}")
