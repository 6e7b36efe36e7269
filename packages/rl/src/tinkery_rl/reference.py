"""A frozen reference policy, and the penalty for leaving it.

The reference is a training state at the service: what the run started with, saved before its first step, or
one that the config names. Its path is on record in the run folder, so that a resumed run is held to the same
reference and not to the weights that it resumes with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import chz
from tinkery_core.config.checks import more_than

if TYPE_CHECKING:
    import tinker
    from tinkery_core.run import Run

    from tinkery_rl.datums import Floats, TrainingDatum

REFERENCE = "reference.json"


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
    service: tinker.ServiceClient, training_client: tinker.TrainingClient, penalty: KLPenalty, run: Run
) -> Reference:
    """The reference of this run: on record in its folder, else saved or named now, and put on record.

    Raises UserError if the service has none where the config names one.
    """
    import tinker
    from tinkery_core.errors import UserError
    from tinkery_core.failure import in_its_words
    from tinkery_core.jsonl import write_atomically

    path = run.dir / REFERENCE
    if run.resume is not None:
        state_path = str(json.loads(path.read_text())["state_path"])
    else:
        state_path = penalty.reference or (await training_client.save_state("reference")).path
        write_atomically(path, json.dumps({"state_path": state_path}) + "\n")
    try:
        return Reference(await service.create_training_client_from_state(state_path))
    except tinker.TinkerError as error:
        if penalty.reference is None:
            raise
        raise UserError(
            f"algorithm.kl_penalty.reference={penalty.reference} cannot be loaded.\n"
            f"  The service says: {in_its_words(error)}\n"
            "Name the state_path of a checkpoint that this service has, or leave the key out: then the reference "
            "is what the run starts with."
        ) from error
