"""One update of the policy from a batch of trajectory groups, enqueued whole before anything is awaited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinkery_rl.datums import TrainingDatum, make_data
from tinkery_rl.metrics import policy_metrics

if TYPE_CHECKING:
    import tinker

    from tinkery_rl.algorithm import Algorithm
    from tinkery_rl.types import TrajectoryGroup


@dataclass(frozen=True)
class Substep:
    """The training calls of one optimizer step, in flight."""

    data_D: list[TrainingDatum]
    forward_backward: tinker.APIFuture[tinker.ForwardBackwardOutput]
    optim_step: tinker.APIFuture[tinker.OptimStepResponse]


@dataclass(frozen=True)
class PendingUpdate:
    """The optimizer steps of one batch, in flight; none, if no group had an advantage to learn from."""

    substeps: Sequence[Substep]
    learning_rate: float

    async def metrics(self) -> dict[str, float]:
        """Wait for the service, then report `optim/…`. Raises the SDK's error if a call failed."""
        outputs = [await substep.forward_backward for substep in self.substeps]
        responses = [await substep.optim_step for substep in self.substeps]
        data_D = [datum for substep in self.substeps for datum in substep.data_D]
        num_tokens = sum(int(datum.sampled_T.sum()) for datum in data_D)
        metrics = {
            "optim/lr": self.learning_rate,
            "optim/num_datums": float(len(data_D)),
            "optim/num_tokens": float(num_tokens),
        }
        if not data_D:
            return metrics
        logprobs_D = [
            record["logprobs"].to_numpy() for output in outputs for record in output.loss_fn_outputs
        ]
        metrics["optim/loss"] = sum(output.metrics["loss:sum"] for output in outputs) / num_tokens
        return metrics | policy_metrics(data_D, logprobs_D) | _service_metrics(responses)


def _service_metrics(responses: Sequence[tinker.OptimStepResponse]) -> dict[str, float]:
    """What the service says of its optimizer steps, under its own names, averaged over the steps."""
    reports = [response.metrics or {} for response in responses]
    names = sorted(set(reports[0]).intersection(*reports))
    return {f"optim/{name}": float(np.mean([report[name] for report in reports])) for name in names}


def enqueue_update(
    training_client: tinker.TrainingClient,
    algorithm: Algorithm,
    adam: tinker.AdamParams,
    groups_P: Sequence[TrajectoryGroup],
    num_substeps: int = 1,
) -> PendingUpdate:
    """Enqueue the update of one batch: `num_substeps` minibatches of whole groups, an optimizer step for each.

    Advantages and normalisations are those of the whole batch. Only then are groups without any advantage
    left out, if the algorithm says so.
    """
    weights_P_G = algorithm.token_weights(groups_P)
    kept = [
        (group, weights_G)
        for group, weights_G in zip(groups_P, weights_P_G, strict=True)
        if weights_G.any() or not algorithm.skip_zero_advantages
    ]
    substeps: list[Substep] = []
    for first in range(num_substeps):
        minibatch = kept[first::num_substeps]
        data_D = make_data(
            [group for group, _ in minibatch], [weights_G for _, weights_G in minibatch], algorithm.loss
        )
        if data_D:
            substeps.append(_enqueue_substep(training_client, algorithm, adam, data_D))
    return PendingUpdate(substeps, adam.learning_rate)


def _enqueue_substep(
    training_client: tinker.TrainingClient,
    algorithm: Algorithm,
    adam: tinker.AdamParams,
    data_D: list[TrainingDatum],
) -> Substep:
    loss = algorithm.loss
    forward_backward = training_client.forward_backward(
        [datum.datum for datum in data_D], loss.name, loss.settings()
    )
    return Substep(data_D, forward_backward, training_client.optim_step(adam))
