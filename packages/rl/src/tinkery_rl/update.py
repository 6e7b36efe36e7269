"""One update of the policy: forward and backward passes over groups, and the optimizer steps that apply them.

Calls are enqueued in the order in which the service has to run them, and awaited later, all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinkery_rl.datums import TrainingDatum, make_data, penalised, with_observed_logprobs
from tinkery_rl.metrics import update_metrics
from tinkery_rl.reference import target_logprobs

if TYPE_CHECKING:
    import tinker

    from tinkery_rl.algorithm import Algorithm
    from tinkery_rl.datums import Floats
    from tinkery_rl.losses import Loss
    from tinkery_rl.reference import Reference
    from tinkery_rl.sampling import SampledGroup


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass, in flight. `reference_logprobs_D` is empty without a reference."""

    data_D: list[TrainingDatum]
    reference_logprobs_D: list[Floats]
    output: tinker.APIFuture[tinker.ForwardBackwardOutput]


class Updater:
    """Enqueues the update of one step: `add` groups, once or more, and `apply` what was added.

    Gradients add up at the service until they are applied, so several passes before one optimizer step are one
    large batch. `version` is that of the policy which is updated.
    """

    def __init__(
        self,
        training_client: tinker.TrainingClient,
        algorithm: Algorithm,
        loss: Loss,
        adam: tinker.AdamParams,
        reference: Reference | None,
        version: int,
    ) -> None:
        self.training_client = training_client
        self.algorithm = algorithm
        self.loss = loss
        self.adam = adam
        self.reference = reference
        self.version = version
        self._passes: list[Pass] = []
        self._unapplied = 0
        self._optimizer_steps: list[tinker.APIFuture[tinker.OptimStepResponse]] = []

    async def add(self, groups: Sequence[SampledGroup]) -> None:
        """Enqueue one pass over the groups. Advantages and normalisations are taken over exactly these."""
        for data_D in self._minibatches(groups, 1):
            await self._enqueue_pass(data_D)

    async def add_and_apply(self, groups: Sequence[SampledGroup], num_substeps: int) -> None:
        """Enqueue `num_substeps` minibatches of whole groups, with an optimizer step after each.

        Advantages and normalisations are taken over all the groups.
        """
        for data_D in self._minibatches(groups, num_substeps):
            await self._enqueue_pass(data_D)
            self.apply()

    def _minibatches(self, groups: Sequence[SampledGroup], number: int) -> Iterator[list[TrainingDatum]]:
        """The data of the groups, dealt out over minibatches, of which none is empty.

        Only when all advantages are known are groups without any left out, if the algorithm says so.
        """
        played = [(sampled.result.group, self.version - sampled.version) for sampled in groups]
        groups_P, ages_P = [group for group, _ in played if group], [age for group, age in played if group]
        advantages_P_G = self.algorithm.advantages(groups_P)
        weights_P_G = self.algorithm.token_weights(groups_P)
        kept = [
            p
            for p, advantages_G in enumerate(advantages_P_G)
            if advantages_G.any() or not self.algorithm.skip_zero_advantages
        ]
        for first in range(number):
            minibatch = kept[first::number]
            data_D = make_data(
                [groups_P[p] for p in minibatch],
                [advantages_P_G[p] for p in minibatch],
                [weights_P_G[p] for p in minibatch],
                [ages_P[p] for p in minibatch],
            )
            if data_D:
                yield data_D

    async def _enqueue_pass(self, data_D: list[TrainingDatum]) -> None:
        reference_logprobs_D: list[Floats] = []
        if self.reference is not None and self.algorithm.kl_penalty is not None:
            reference_logprobs_D = await self.reference.logprobs(data_D)
            data_D = penalised(data_D, reference_logprobs_D, self.algorithm.kl_penalty.coef)
        if self.loss.needs_observed_logprobs:
            data_D = with_observed_logprobs(data_D, await target_logprobs(self.training_client, data_D))
        data = [datum.for_service(self.loss) for datum in data_D]
        output = self.training_client.forward_backward(data, self.loss.name, self.loss.settings())
        self._passes.append(Pass(data_D, reference_logprobs_D, output))
        self._unapplied += 1

    def apply(self) -> None:
        """Enqueue the optimizer step for what was added since the last one; nothing, if nothing was."""
        if self._unapplied:
            self._optimizer_steps.append(self.training_client.optim_step(self.adam))
            self._unapplied = 0

    async def metrics(self) -> dict[str, float]:
        """Wait for the service, then report `optim/…` and `train/…`. Raises the SDK's error if a call failed."""
        outputs = [await one.output for one in self._passes]
        responses = [await step for step in self._optimizer_steps]
        return {"optim/lr": self.adam.learning_rate} | update_metrics(
            data_D=[datum for one in self._passes for datum in one.data_D],
            logprobs_D=[
                record["logprobs"].to_numpy() for output in outputs for record in output.loss_fn_outputs
            ],
            reference_logprobs_D=[
                logprobs_T for one in self._passes for logprobs_T in one.reference_logprobs_D
            ],
            loss_sum=sum(output.metrics["loss:sum"] for output in outputs),
            reports=[response.metrics or {} for response in responses],
        )
