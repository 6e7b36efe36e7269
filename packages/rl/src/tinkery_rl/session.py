"""What the modes share: one run in progress, the pipeline of a step, and its tail.

The tail is a chain of background tasks, one a step: wait for the update and the evaluation of the step, write
its line, then put its checkpoint on record. So lines come in order, and a checkpoint is on record only after
the lines of all the batches in it, which makes a resume exactly-once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinkery_core.checkpoints import checkpoint_due, enqueue_checkpoint

from tinkery_rl.metrics import failure_metrics, rollout_metrics
from tinkery_rl.rollouts import gather
from tinkery_rl.sampling import Snapshot
from tinkery_rl.transcripts import transcripts
from tinkery_rl.update import Updater

if TYPE_CHECKING:
    import tinker
    from tinkery_core.chat import Chat
    from tinkery_core.checkpoints import PendingCheckpoint
    from tinkery_core.evaluators import Evaluator
    from tinkery_core.run import Run

    from tinkery_rl.config import RLConfig
    from tinkery_rl.reference import Reference
    from tinkery_rl.sampling import SampledGroup, Sampler

Evaluation = asyncio.Task[dict[str, float]]


@dataclass(frozen=True)
class OpenStep:
    """A step in progress: groups are sampled for it and added to its update."""

    index: int
    update: Updater
    evaluation: Evaluation | None
    opened_at: float


@dataclass
class Session:
    """One run in progress. For each step a mode opens it, samples groups, adds them to its update, and closes it.

    `snapshot` is the policy after the last step that was closed; it ends when the service has applied that step.
    """

    config: RLConfig
    run: Run
    chat: Chat
    sampler: Sampler
    evaluators: Sequence[Evaluator]
    training_client: tinker.TrainingClient
    reference: Reference | None
    background: asyncio.TaskGroup
    first_step: int
    num_steps: int
    snapshot: asyncio.Task[Snapshot] = field(init=False)
    _evaluation: Evaluation | None = field(init=False, default=None)
    _tail: asyncio.Task[None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.snapshot = self._enqueue_snapshot(self.first_step)

    async def open(self, step: int) -> OpenStep:
        """Begin a step: evaluate the snapshot that it starts from, if that is due, and never two at once."""
        every = self.config.eval_every
        evaluation = None
        if every > 0 and step % every == 0:
            if self._evaluation is not None:
                await self._evaluation
            evaluation = self._evaluation = self.background.create_task(self._evaluate(self.snapshot))
        return OpenStep(step, self._open_update(step), evaluation, time.perf_counter())

    def _open_update(self, step: int) -> Updater:
        config = self.config
        learning_rate = config.optimizer.learning_rate(config.learning_rate, step, self.num_steps)
        adam = config.optimizer.adam_params(learning_rate)
        return Updater(self.training_client, config.algorithm, config.loss, adam, self.reference, step)

    async def _evaluate(self, snapshot: asyncio.Task[Snapshot]) -> dict[str, float]:
        policy = await snapshot
        reports = await gather([evaluator(policy.client) for evaluator in self.evaluators])
        return {name: value for report in reports for name, value in report.items()}

    async def close(self, step: OpenStep, groups: Sequence[SampledGroup]) -> None:
        """End a step whose update is enqueued: enqueue the next snapshot, and a checkpoint if one is due.

        Its line follows in the background, as soon as its results and all steps before it are in.
        """
        closed_at = time.perf_counter()
        before = self.snapshot
        self.snapshot = self._enqueue_snapshot(step.index + 1)
        checkpoint = await self._enqueue_checkpoint(step.index + 1)
        report = self._report(step, groups, closed_at, before, self.snapshot, self._tail, checkpoint)
        self._tail = self.background.create_task(report)

    def _enqueue_snapshot(self, version: int) -> asyncio.Task[Snapshot]:
        saving = self.training_client.save_weights_and_get_sampling_client()
        return self.background.create_task(self._take(version, saving))

    async def _take(self, version: int, saving: tinker.APIFuture[tinker.SamplingClient]) -> Snapshot:
        self.sampler.latest = Snapshot(version, await saving, time.perf_counter())
        return self.sampler.latest

    async def _enqueue_checkpoint(self, num_applied: int) -> PendingCheckpoint | None:
        kind = checkpoint_due(self.config, num_applied, self.num_steps)
        return kind and await enqueue_checkpoint(self.training_client, self.run, num_applied, kind)

    async def _report(
        self,
        step: OpenStep,
        groups: Sequence[SampledGroup],
        closed_at: float,
        before: asyncio.Task[Snapshot],
        after: asyncio.Task[Snapshot],
        tail: asyncio.Task[None] | None,
        checkpoint: PendingCheckpoint | None,
    ) -> None:
        applied_at = (await after).taken_at
        metrics = {
            **rollout_metrics([group.result.group for group in groups if group.result.group is not None]),
            **failure_metrics([group.result for group in groups]),
            **await step.update.metrics(),
            **(await step.evaluation if step.evaluation is not None else {}),
            "progress/done_frac": (step.index + 1) / self.num_steps,
            "time/sampling": closed_at - step.opened_at,
            "time/training": applied_at - closed_at,
            "time/total": applied_at - (await before).taken_at,
        }
        if tail is not None:
            await tail
        for failure in (failure for group in groups for failure in group.result.failures):
            self.run.log(f"step {step.index} went on without: {failure}")
        logged = groups[: self.config.num_groups_to_log]
        self.run.log_rollouts(transcripts(step.index, logged, self.chat.decode))
        self.run.log_metrics(step.index, metrics)
        if (warning := self.config.guard.check(step.index, metrics)) is not None:
            self.run.print(warning)
        if checkpoint is not None:
            await checkpoint.recorded()

    async def finish(self) -> None:
        """Save and evaluate the final weights side by side; the last line, with step `num_steps`, is theirs.

        The final checkpoint goes on record after that line: where it stands, all is done.
        """
        checkpoint = await enqueue_checkpoint(self.training_client, self.run, self.num_steps, "final")
        metrics = await self._evaluate(self.snapshot)
        if self._tail is not None:
            await self._tail
        self.run.log_metrics(self.num_steps, {**metrics, "progress/done_frac": 1.0})
        await checkpoint.recorded()
