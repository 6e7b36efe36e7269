"""Run one `train-dpo` again and again in one run folder, killed with -9 at point after point.

    python killed_dpo_runs.py CONFIG.pickle POINT…

Started by test_dpo.py. The trainer is imported once; each run is a forked process of its own.
"""

import pickle
import signal
import sys
from pathlib import Path
from unittest.mock import patch

import anyio
import renderers
import tinker
from killed_runs import die, in_child
from tinkery_core.checkpoint_log import Checkpoint, CheckpointLog
from tinkery_core.run import Run, open_run
from tinkery_supervised.dpo.config import DPOConfig
from tinkery_supervised.dpo.reference import ReferenceLogprobs, ScoredBatch
from tinkery_supervised.dpo.train import train
from tinkery_supervised.preferences.dataset import PairBatch

IMPORTED_ONCE = (renderers, tinker)


def run_until(point: str, config: DPOConfig) -> None:
    """Train up to a point and die there.

    `scored=N` is when the reference has scored its N-th batch in this process, `line=K` when the line of step K is
    written, `record=K` the moment before the checkpoint after K batches goes on record. Any other point is the end.
    """
    kind, _, number = point.partition("=")
    num_scored = 0
    log_metrics, append, score = Run.log_metrics, CheckpointLog.append, ReferenceLogprobs.score

    def log_and_die(run: Run, at_step: int, metrics: dict[str, float]) -> None:
        log_metrics(run, at_step, metrics)
        if kind == "line" and at_step == int(number):
            die()

    def append_or_die(log: CheckpointLog, checkpoint: Checkpoint) -> None:
        if kind == "record" and checkpoint.step == int(number):
            die()
        append(log, checkpoint)

    async def score_and_die(reference: ReferenceLogprobs, batch: PairBatch) -> ScoredBatch:
        nonlocal num_scored
        scored = await score(reference, batch)
        num_scored += 1
        if kind == "scored" and num_scored == int(number):
            die()
        return scored

    async def main() -> None:
        with open_run(config) as run:
            await train(config, run)

    with (
        patch.object(Run, "log_metrics", log_and_die),
        patch.object(CheckpointLog, "append", append_or_die),
        patch.object(ReferenceLogprobs, "score", score_and_die),
    ):
        anyio.run(main)


if __name__ == "__main__":
    config: DPOConfig = pickle.loads(Path(sys.argv[1]).read_bytes())
    for point in sys.argv[2:]:
        status = in_child(lambda point=point: run_until(point, config))
        if status != (0 if point == "end" else -signal.SIGKILL):
            sys.exit(f"the run to {point} ended with status {status}")
