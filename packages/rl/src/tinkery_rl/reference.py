"""A penalty for leaving a frozen reference policy, and where the reference's log-probabilities come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import chz
from tinkery_core.config.checks import more_than

if TYPE_CHECKING:
    import tinker
    from tinkery_core.run import Run

    from tinkery_rl.config import RLConfig
    from tinkery_rl.datums import Floats, TrainingDatum


@chz.chz
class KLPenalty:
    """Pulls the policy towards a frozen reference, through the advantages (`tinkery_rl.datums.penalised`)."""

    coef: float = chz.field(
        validator=more_than(0), doc="what a nat of divergence costs, in units of the advantage"
    )
    reference: str | None = chz.field(
        default=None,
        doc="training state of the reference, tinker://…/weights/…; null is what the run starts with",
    )


class Reference:
    """The log-probabilities of a policy that never changes."""

    def __init__(self, client: tinker.TrainingClient) -> None:
        self.client = client

    async def logprobs(self, data_D: Sequence[TrainingDatum]) -> list[Floats]:
        """Log-probabilities of the targets of each datum, one request for all of them."""
        return await target_logprobs(self.client, data_D)


async def target_logprobs(client: tinker.TrainingClient, data_D: Sequence[TrainingDatum]) -> list[Floats]:
    """What the client's policy gives to the targets of each datum, by a forward pass."""
    output = await client.forward([datum.for_logprobs() for datum in data_D], "cross_entropy")
    return [record["logprobs"].to_numpy() for record in output.loss_fn_outputs]


async def open_reference(
    service: tinker.ServiceClient, training_client: tinker.TrainingClient, config: RLConfig, run: Run
) -> Reference | None:
    """The reference of this run, if it has a penalty: on record in its folder, else saved or named now.

    Raises UserError if there is none on record, or if the service has none where the config names one.
    """
    from tinkery_core.reference import load_reference, reference_state

    penalty = config.algorithm.kl_penalty
    if penalty is None:
        return None
    state_path = await reference_state(training_client, penalty.reference, run)
    key, model = "algorithm.kl_penalty.reference", config.model.name
    return Reference(
        await load_reference(service, state_path, run, key=key, named=penalty.reference, model_name=model)
    )
