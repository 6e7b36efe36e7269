"""One run in progress: the pipeline of its steps, and the tail that reports them.

Steps are enqueued in order and up to `submit_ahead` of them before the one at work is done. The tail is a chain of
background tasks, one a step: wait for the update and the evaluation of the step, write its line, then put its
checkpoint on record. So lines come in order, and a checkpoint is on record only after the lines of all the batches
in it, which makes a resume exactly-once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from tinkery_core.checkpoints import checkpoint_due, enqueue_checkpoint

from tinkery_supervised.answers import exact_match

if TYPE_CHECKING:
    import tinker
    from tinkery_core.checkpoints import PendingCheckpoint
    from tinkery_core.evaluators import Evaluator
    from tinkery_core.run import Run

    from tinkery_supervised.answers import Answer, HeldOutAnswers
    from tinkery_supervised.config import TrainerConfig
    from tinkery_supervised.objective import Objective, Pending

BatchT = TypeVar("BatchT")


@dataclass(frozen=True)
class Measurement:
    """What an evaluation found."""

    metrics: Mapping[str, float]
    answers: Sequence[Answer]


Evaluation = asyncio.Task[Measurement]


@dataclass(frozen=True)
class Update:
    """What became of an update, and when."""

    metrics: Mapping[str, float]
    finished: float


@dataclass(frozen=True)
class PendingStep:
    """A step whose calls are all enqueued."""

    step: int
    update: asyncio.Task[Update]
    evaluation: Evaluation | None
    checkpoint: PendingCheckpoint | None
    waited_s: float


@dataclass
class Session(Generic[BatchT]):
    """A run from batch `first_step` on."""

    config: TrainerConfig
    run: Run
    objective: Objective[BatchT]
    evaluators: Sequence[Evaluator]
    answers: HeldOutAnswers | None
    training_client: tinker.TrainingClient
    background: asyncio.TaskGroup
    first_step: int
    num_steps: int
    _finished: float = field(init=False, default_factory=time.perf_counter)
    _evaluation: Evaluation | None = field(init=False, default=None)
    _tail: asyncio.Task[None] | None = field(init=False, default=None)

    async def train(self, batches: AsyncIterator[BatchT]) -> None:
        """Train on each batch exactly once, the first being that of `first_step`, then save and evaluate."""
        in_flight: deque[asyncio.Task[Update]] = deque()
        for step in range(self.first_step, self.num_steps):
            asked = time.perf_counter()
            batch = await anext(batches)
            waited_s = time.perf_counter() - asked
            while len(in_flight) > self.config.submit_ahead:
                await in_flight.popleft()
            pending = await self._enqueue(step, batch, waited_s)
            in_flight.append(pending.update)
            self._tail = self.background.create_task(self._report(self._tail, pending))
        await self._finish()

    async def _enqueue(self, step: int, batch: BatchT, waited_s: float) -> PendingStep:
        """Enqueue all that a step asks of the service: evaluation of the weights before it, update, checkpoint."""
        config = self.config
        evaluation = await self._evaluate_if_due(step)
        learning_rate = config.optimizer.learning_rate(config.learning_rate, step, self.num_steps)
        pending = await self.objective.enqueue_update(batch, config.optimizer.adam_params(learning_rate))
        update = self.background.create_task(_finished(pending))
        return PendingStep(step, update, evaluation, await self._enqueue_checkpoint(step + 1), waited_s)

    async def _evaluate_if_due(self, step: int) -> Evaluation | None:
        """Never two evaluations at once: they would only be in each other's way."""
        every = self.config.eval_every
        if every == 0 or step % every != 0:
            return None
        if self._evaluation is not None:
            await self._evaluation
        self._evaluation = await self._enqueue_evaluation()
        return self._evaluation

    async def _enqueue_evaluation(self) -> Evaluation:
        """Enqueue the measurement of the weights as they are now; it goes on beside the steps that follow."""
        test = await self.objective.enqueue_test()
        samples = bool(self.evaluators) or self.answers is not None
        snapshot = self.training_client.save_weights_and_get_sampling_client() if samples else None
        return self.background.create_task(self._measure(test, snapshot))

    async def _measure(
        self, test: Pending, snapshot: tinker.APIFuture[tinker.SamplingClient] | None
    ) -> Measurement:
        metrics = await test.metrics()
        if snapshot is None:
            return Measurement(metrics, [])
        policy = await snapshot
        reports = [
            self.background.create_task(_report_of(evaluator, policy)) for evaluator in self.evaluators
        ]
        answers = [] if self.answers is None else await self.answers(policy)
        metrics |= exact_match(answers)
        for report in reports:
            metrics |= await report
        return Measurement(metrics, answers)

    async def _enqueue_checkpoint(self, num_applied: int) -> PendingCheckpoint | None:
        kind = checkpoint_due(self.config, num_applied, self.num_steps)
        return kind and await enqueue_checkpoint(self.training_client, self.run, num_applied, kind)

    async def _report(self, previous: asyncio.Task[None] | None, pending: PendingStep) -> None:
        """The line of step `k` is about batch `k` and the weights before it was applied."""
        update = await pending.update
        measured = Measurement({}, []) if pending.evaluation is None else await pending.evaluation
        if previous is not None:
            await previous
        times = {"time/total": update.finished - self._finished, "time/waiting_for_data": pending.waited_s}
        self._finished = update.finished
        done_frac = (pending.step + 1) / self.num_steps
        self._log(pending.step, measured, {**update.metrics, "progress/done_frac": done_frac, **times})
        if pending.checkpoint is not None:
            await pending.checkpoint.recorded()

    async def _finish(self) -> None:
        """Save and evaluate the final weights side by side; the last line, with step `num_steps`, is theirs.

        The final checkpoint goes on record after that line: where it stands, all is done.
        """
        checkpoint = await enqueue_checkpoint(self.training_client, self.run, self.num_steps, "final")
        measured = await (await self._enqueue_evaluation())
        if self._tail is not None:
            await self._tail
        self._log(self.num_steps, measured, {"progress/done_frac": 1.0})
        await checkpoint.recorded()

    def _log(self, step: int, measured: Measurement, metrics: Mapping[str, float]) -> None:
        self.run.log_rollouts([answer.record(step) for answer in measured.answers])
        self.run.log_metrics(step, {**metrics, **measured.metrics})


async def _finished(update: Pending) -> Update:
    return Update(await update.metrics(), time.perf_counter())


async def _report_of(evaluator: Evaluator, policy: tinker.SamplingClient) -> dict[str, float]:
    return await evaluator(policy)
