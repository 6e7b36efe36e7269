"""What the modes share: one run in progress, the pipeline of a step, and its tail.

The tail is a chain of background tasks, one a step: wait for the update and the evaluation of the step, write
its line, then put its checkpoint on record. So lines come in order, and a checkpoint is on record only after
the lines of all the batches in it, which makes a resume exactly-once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinkery_core.checkpoints import enqueue_checkpoint
from tinkery_core.completers import SamplingCompleter

from tinkery_rl.metrics import rollout_metrics
from tinkery_rl.rollouts import gather
from tinkery_rl.transcripts import transcripts
from tinkery_rl.update import PendingUpdate, enqueue_update

if TYPE_CHECKING:
    import tinker
    from tinkery_core.chat import Chat
    from tinkery_core.checkpoints import PendingCheckpoint
    from tinkery_core.evaluators import Evaluator
    from tinkery_core.run import Run

    from tinkery_rl.config import RLConfig
    from tinkery_rl.types import EnvGroupBuilder, RLDataset, TrajectoryGroup

Evaluation = asyncio.Task[dict[str, float]]


@dataclass(frozen=True)
class PendingStep:
    """A step whose calls are all enqueued. `snapshot` resolves to the policy after it."""

    step: int
    groups_P: Sequence[TrajectoryGroup]
    rollout_metrics: Mapping[str, float]
    update: PendingUpdate
    snapshot: tinker.APIFuture[tinker.SamplingClient]
    checkpoint: PendingCheckpoint | None


@dataclass
class Session:
    """One run in progress. A mode samples and calls these methods, in the order of its steps."""

    config: RLConfig
    run: Run
    chat: Chat
    dataset: RLDataset
    evaluators: Sequence[Evaluator]
    training_client: tinker.TrainingClient
    background: asyncio.TaskGroup
    first_step: int
    num_steps: int
    _evaluation: Evaluation | None = field(init=False, default=None)
    _tail: asyncio.Task[None] | None = field(init=False, default=None)

    async def first_snapshot(self) -> tinker.SamplingClient:
        """The policy that the run starts or resumes with."""
        return await self.training_client.save_weights_and_get_sampling_client()

    def batch(self, step: int) -> Sequence[EnvGroupBuilder]:
        """The groups of the dataset's batch `step`."""
        return self.dataset.get_batch(step)

    def policy(self, snapshot: tinker.SamplingClient, step: int) -> SamplingCompleter:
        """The policy of a snapshot, with dice of its own for each step."""
        return SamplingCompleter(
            snapshot,
            seed=_seed(self.config.seed, step),
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
        )

    async def start_evaluation(self, step: int, snapshot: tinker.SamplingClient) -> Evaluation | None:
        """Evaluate a snapshot beside the training that follows, if `step` is due, and never two at once."""
        every = self.config.eval_every
        if every == 0 or step % every != 0:
            return None
        if self._evaluation is not None:
            await self._evaluation
        self._evaluation = self.background.create_task(self._evaluate(snapshot))
        return self._evaluation

    async def _evaluate(self, snapshot: tinker.SamplingClient) -> dict[str, float]:
        reports = await gather([evaluator(snapshot) for evaluator in self.evaluators])
        return {name: value for report in reports for name, value in report.items()}

    async def enqueue_step(self, step: int, groups_P: Sequence[TrajectoryGroup]) -> PendingStep:
        """Enqueue all that a step asks of the trainer: its update, the next snapshot, and a checkpoint if one
        is due.
        """
        config = self.config
        learning_rate = config.optimizer.learning_rate(config.learning_rate, step, self.num_steps)
        adam = config.optimizer.adam_params(learning_rate)
        update = enqueue_update(self.training_client, config.algorithm, adam, groups_P, config.num_substeps)
        snapshot = self.training_client.save_weights_and_get_sampling_client()
        checkpoint = await self._enqueue_checkpoint(step + 1)
        return PendingStep(step, groups_P, rollout_metrics(groups_P), update, snapshot, checkpoint)

    async def _enqueue_checkpoint(self, num_applied: int) -> PendingCheckpoint | None:
        """The checkpoint after the last batch is not made here: it is the final one."""
        every = self.config.save_every
        if every == 0 or num_applied % every != 0 or num_applied == self.num_steps:
            return None
        return await enqueue_checkpoint(self.training_client, self.run, num_applied, "periodic")

    def report(self, pending: PendingStep, evaluation: Evaluation | None, times: Mapping[str, float]) -> None:
        """Report a step in the background, as soon as its results and all steps before it are in."""
        self._tail = self.background.create_task(self._report(self._tail, pending, evaluation, times))

    async def _report(
        self,
        previous: asyncio.Task[None] | None,
        pending: PendingStep,
        evaluation: Evaluation | None,
        times: Mapping[str, float],
    ) -> None:
        metrics = {
            **pending.rollout_metrics,
            **await pending.update.metrics(),
            **(await evaluation if evaluation else {}),
            "progress/done_frac": (pending.step + 1) / self.num_steps,
            **times,
        }
        if previous is not None:
            await previous
        groups_P = pending.groups_P[: self.config.num_groups_to_log]
        self.run.log_rollouts(transcripts(pending.step, groups_P, self.chat.decode))
        self.run.log_metrics(pending.step, metrics)
        if pending.checkpoint is not None:
            await pending.checkpoint.recorded()

    async def finish(self, snapshot: tinker.SamplingClient) -> None:
        """Save and evaluate the final weights side by side; the last line, with step `num_steps`, is theirs.

        The final checkpoint goes on record after that line: where it stands, all is done.
        """
        checkpoint = await enqueue_checkpoint(self.training_client, self.run, self.num_steps, "final")
        metrics = await self._evaluate(snapshot)
        if self._tail is not None:
            await self._tail
        self.run.log_metrics(self.num_steps, {**metrics, "progress/done_frac": 1.0})
        await checkpoint.recorded()


def _seed(seed: int, step: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)
