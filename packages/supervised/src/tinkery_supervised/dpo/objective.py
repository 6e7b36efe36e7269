r"""Direct preference optimisation as an objective: two rounds a step, for the service has no such loss.

First a forward pass of the pairs for the policy's log-probabilities; from these, here, the slope of the loss; then a
cross-entropy with the negative slopes as weights, whose gradient is that of the loss. The second round needs the
first one's answer, and the first one the weights of the step before: so the service waits for this process once a
step, in which only the slopes are computed. All else is enqueued or prepared before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from tinkery_supervised.cross_entropy import LOSS, make_datum
from tinkery_supervised.dpo.losses import LOSSES
from tinkery_supervised.dpo.reference import PendingLogprobs, ScoredBatch, enqueue_logprobs

if TYPE_CHECKING:
    import tinker

    from tinkery_supervised.dpo.config import DPOConfig
    from tinkery_supervised.dpo.losses import Floats, PairLoss

LossOf: TypeAlias = "Callable[[Floats], PairLoss]"


@dataclass(frozen=True)
class ScoredPairs:
    """A batch with the log-probabilities of its answers, [D, 2], of the policy and of the reference."""

    batch: ScoredBatch
    policy_D: Floats

    @property
    def log_ratios_D(self) -> Floats:
        r"""$\log \pi(y|x) - \log \pi_0(y|x)$ of each answer, [D, 2]."""
        return self.policy_D - self.batch.reference_D

    @property
    def differences_D(self) -> Floats:
        """The log-ratio of the chosen answer less that of the rejected one."""
        return self.log_ratios_D[:, 0] - self.log_ratios_D[:, 1]

    @property
    def num_targets_D(self) -> Floats:
        """The lengths of the answers in tokens, [D, 2]."""
        import numpy as np

        pairs_D = self.batch.batch.pairs_D
        return np.array([[side.num_targets for side in pair.sides] for pair in pairs_D], dtype=np.float64)


def preference_metrics(
    prefix: str, scored: Sequence[ScoredPairs], loss: LossOf, beta: float
) -> dict[str, float]:
    r"""What the policy makes of pairs, compared with the reference.

    `reward` is the implicit one, $\beta \log(\pi/\pi_0)$; `margin` the chosen answer's less the rejected one's;
    `accuracy` the share of pairs with a margin above 0, one of 0 as half; `chosen_nll` nats a token of the chosen
    answers; `drift` the size of the log-ratios a token: how far the policy has gone from the reference on these
    answers.
    """
    import numpy as np

    log_ratios_D = np.concatenate([pairs.log_ratios_D for pairs in scored])
    differences_D = np.concatenate([pairs.differences_D for pairs in scored])
    policy_D = np.concatenate([pairs.policy_D for pairs in scored])
    num_targets_D = np.concatenate([pairs.num_targets_D for pairs in scored])
    metrics = {
        "dpo_loss": loss(differences_D).values_D.mean(),
        "accuracy": ((1 + np.sign(differences_D)) / 2).mean(),
        "margin": beta * differences_D.mean(),
        "chosen_reward": beta * log_ratios_D[:, 0].mean(),
        "rejected_reward": beta * log_ratios_D[:, 1].mean(),
        "chosen_nll": -policy_D[:, 0].sum() / num_targets_D[:, 0].sum(),
        "drift": np.abs(log_ratios_D).sum() / num_targets_D.sum(),
    }
    return {f"{prefix}/{name}": float(value) for name, value in metrics.items()}


def gradient_data(batch: ScoredBatch, loss: PairLoss) -> list[tinker.Datum]:
    """The data whose cross-entropy has the gradient of the mean loss over the pairs."""
    weights_D = -loss.slopes_D / len(loss.slopes_D)
    return [
        make_datum(replace(side, weights_T=side.weights_T * sign * weight), 1.0)
        for pair, weight in zip(batch.batch.pairs_D, weights_D.astype("float32"), strict=True)
        for side, sign in zip(pair.sides, (1, -1), strict=True)
    ]


@dataclass(frozen=True)
class PendingScores:
    """A batch on its way through the policy."""

    batch: ScoredBatch
    logprobs: PendingLogprobs

    async def scored(self) -> ScoredPairs:
        """Wait for the policy's log-probabilities."""
        import numpy as np

        sums = np.array(await self.logprobs.sums(), dtype=np.float64)
        return ScoredPairs(self.batch, sums.reshape(-1, 2))


@dataclass(frozen=True)
class PendingUpdate:
    """One optimizer step in flight; none, if the batch has no pairs."""

    reported: dict[str, float]
    gradient: tinker.APIFuture[tinker.ForwardBackwardOutput] | None = None
    optim_step: tinker.APIFuture[tinker.OptimStepResponse] | None = None

    async def metrics(self) -> dict[str, float]:
        """`train/…` of the weights before the step, `optim/…` of the step, `data/…` of the batch."""
        if self.gradient is None or self.optim_step is None:
            return self.reported
        await self.gradient
        response = await self.optim_step
        return self.reported | {f"optim/{name}": value for name, value in (response.metrics or {}).items()}


@dataclass(frozen=True)
class PendingTest:
    """The held-out pairs on their way through the policy."""

    scores: Sequence[PendingScores]
    objective: DPO

    async def metrics(self) -> dict[str, float]:
        """`test/…`; nothing, if nothing is held out."""
        scored = [await pending.scored() for pending in self.scores]
        return self.objective.metrics("test", scored) if scored else {}


class DPO:
    """Trains on scored pairs, and tests on held-out ones, which are still being scored."""

    def __init__(
        self,
        training_client: tinker.TrainingClient,
        config: DPOConfig,
        test: asyncio.Task[list[ScoredBatch]],
    ) -> None:
        self.training_client = training_client
        self.config = config
        self.test = test

    def loss(self, differences_D: Floats) -> PairLoss:
        """The configured loss of pairs by their differences of log-ratios."""
        return LOSSES[self.config.loss](differences_D, self.config.beta, self.config.label_smoothing)

    def metrics(self, prefix: str, scored: Sequence[ScoredPairs]) -> dict[str, float]:
        """See `preference_metrics`."""
        return preference_metrics(prefix, scored, self.loss, self.config.beta)

    async def enqueue_update(self, batch: ScoredBatch, adam: tinker.AdamParams) -> PendingUpdate:
        """Wait for the policy's log-probabilities of the batch, then enqueue its gradient and the step."""
        reported = {**batch.batch.metrics(), "optim/lr": adam.learning_rate}
        if not batch.answers:
            return PendingUpdate(reported)
        scored = await self._enqueue_scores(batch).scored()
        data = gradient_data(batch, self.loss(scored.differences_D))
        gradient = self.training_client.forward_backward(data, LOSS)
        optim_step = self.training_client.optim_step(adam)
        return PendingUpdate(self.metrics("train", [scored]) | reported, gradient, optim_step)

    async def enqueue_test(self) -> PendingTest:
        """Enqueue a forward pass of each held-out batch."""
        batches = [batch for batch in await self.test if batch.answers]
        return PendingTest([self._enqueue_scores(batch) for batch in batches], self)

    def _enqueue_scores(self, batch: ScoredBatch) -> PendingScores:
        return PendingScores(batch, enqueue_logprobs(self.training_client, batch.answers))
