r"""Cross-entropy, the objective of supervised training.

With $w_t$ the weight of target $t$ and $p_t$ its log-probability, a step minimises the mean over the batch's targets,
$-\sum_t w_t p_t / \sum_t w_t$. The service sums over tokens, so the weights are sent divided by their sum: the loss is
the same kind of number, and the rate means the same, whatever the sizes of batch and examples.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinkery_supervised.types import Batch

if TYPE_CHECKING:
    import tinker

    from tinkery_supervised.types import Example

LOSS = "cross_entropy"


def make_datum(example: Example, total_weight: float) -> tinker.Datum:
    """Position `t` predicts token `t + 1`, so targets and weights are shifted by one."""
    import numpy as np
    import tinker

    inputs = {
        "target_tokens": np.array(example.tokens_T[1:], dtype=np.int64),
        "weights": example.weights_T[1:] / np.float32(total_weight),
    }
    return tinker.Datum(
        model_input=tinker.ModelInput.from_ints(example.tokens_T[:-1]),
        loss_fn_inputs={name: tinker.TensorData.from_numpy(array) for name, array in inputs.items()},
    )


def make_data(examples_D: Sequence[Example]) -> list[tinker.Datum]:
    """The data of a batch; the weights of all of it add up to 1."""
    total = total_weight(examples_D)
    return [make_datum(example, total) for example in examples_D]


def total_weight(examples_D: Sequence[Example]) -> float:
    """The sum of all targets' weights: their number, where each counts as one."""
    return float(sum(example.weights_T[1:].sum() for example in examples_D))


@dataclass(frozen=True)
class PendingLoss:
    """A batch on its way through the model."""

    examples_D: Sequence[Example]
    output: tinker.APIFuture[tinker.ForwardBackwardOutput]

    async def nats(self) -> float:
        """The negative log-likelihood of all targets of the batch, in nats."""
        return (await self.output).metrics["loss:sum"] * total_weight(self.examples_D)


async def likelihood_metrics(prefix: str, losses: Sequence[PendingLoss]) -> dict[str, float]:
    r"""`nll`, in nats a target, and `bits_per_byte`, which compares models whose tokens differ.

    The latter is $\mathrm{nats} / (\ln 2 \cdot \mathrm{bytes})$ with all targets' nats, those of the tokens that end a
    message included, over the bytes of the targets' text.
    """
    nats = sum([await loss.nats() for loss in losses])
    examples = [example for loss in losses for example in loss.examples_D]
    metrics = {f"{prefix}/nll": nats / total_weight(examples)}
    num_bytes = sum(example.num_bytes for example in examples)
    if num_bytes:
        metrics[f"{prefix}/bits_per_byte"] = nats / math.log(2) / num_bytes
    return metrics


@dataclass(frozen=True)
class PendingUpdate:
    """One optimizer step in flight; none, if nothing in the batch can be learned."""

    batch: Batch
    learning_rate: float
    loss: PendingLoss | None = None
    optim_step: tinker.APIFuture[tinker.OptimStepResponse] | None = None

    async def metrics(self) -> dict[str, float]:
        """`train/…` of the weights before the step, `optim/…` of the step, `data/…` of the batch."""
        metrics = {**self.batch.metrics(), "optim/lr": self.learning_rate}
        if self.loss is None or self.optim_step is None:
            return metrics
        likelihood = await likelihood_metrics("train", [self.loss])  # first, as it is the first that may fail
        response = await self.optim_step
        adam = {f"optim/{name}": value for name, value in (response.metrics or {}).items()}
        return likelihood | metrics | adam


@dataclass(frozen=True)
class PendingTest:
    """The held-out batches on their way through the model."""

    losses: Sequence[PendingLoss]

    async def metrics(self) -> dict[str, float]:
        """`test/…`; nothing, if nothing is held out."""
        return await likelihood_metrics("test", self.losses) if self.losses else {}


class CrossEntropy:
    """Trains on the targets of a batch, and tests on held-out batches, which are still being loaded."""

    def __init__(self, training_client: tinker.TrainingClient, test: asyncio.Task[list[Batch]]) -> None:
        self.training_client = training_client
        self.test = test

    async def enqueue_update(self, batch: Batch, adam: tinker.AdamParams) -> PendingUpdate:
        """Enqueue both calls of the step before anything is awaited."""
        if not batch.examples_D:
            return PendingUpdate(batch, adam.learning_rate)
        output = self.training_client.forward_backward(make_data(batch.examples_D), LOSS)
        optim_step = self.training_client.optim_step(adam)
        return PendingUpdate(batch, adam.learning_rate, PendingLoss(batch.examples_D, output), optim_step)

    async def enqueue_test(self) -> PendingTest:
        """Enqueue a forward pass of each held-out batch."""
        batches = [batch for batch in await self.test if batch.examples_D]
        return PendingTest(
            [
                PendingLoss(batch.examples_D, self.training_client.forward(make_data(batch.examples_D), LOSS))
                for batch in batches
            ]
        )
