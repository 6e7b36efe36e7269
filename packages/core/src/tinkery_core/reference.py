"""The frozen reference of a run: a policy that it is held to, the same one however often the run is resumed.

It is a training state at the service: what the run started with, saved before its first step, or one that the config
names. Its path is on record in the run folder, so that a resumed run is not held to the weights that it resumes with.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tinkery_core.errors import UserError
from tinkery_core.failure import in_its_words
from tinkery_core.jsonl import write_atomically

if TYPE_CHECKING:
    import tinker

    from tinkery_core.run import Run

REFERENCE = "reference.json"


async def reference_state(training_client: tinker.TrainingClient, named: str | None, run: Run) -> str:
    """Path of the reference's training state: the one on record, or of a new run `named` or its first weights.

    Raises UserError if a resumed run has none on record, or another one than the config names.
    """
    path = run.dir / REFERENCE
    if run.resume is None:
        state_path = named or (await training_client.save_state("reference")).path
        write_atomically(path, json.dumps({"state_path": state_path}) + "\n")
        return state_path
    recorded = str(json.loads(path.read_text())["state_path"]) if path.exists() else None
    if recorded is None or named not in (None, recorded):
        found = "is missing" if recorded is None else f"names {recorded}"
        raise UserError(
            f"{path} {found}, so it is not known which reference this run has been held to until now"
            f"{'' if named is None else f': the config names {named}'}.\n"
            "Put the file back as it was, or choose another run_dir to start over."
        )
    return recorded


async def load_reference(
    service: tinker.ServiceClient, state_path: str, run: Run, *, key: str, named: str | None, model_name: str
) -> tinker.TrainingClient:
    """A client for the reference's log-probabilities. `key` is what names it in the config.

    Raises UserError if the service has no such state, or one of another model.
    """
    import tinker

    typed = state_path if named is None else f"{key}={named}"
    try:
        info = await (await run.rest_client()).get_weights_info_by_tinker_path(state_path)
    except tinker.NotFoundError as error:
        advice = (
            "It was saved when the run began, and nothing can stand in for it: choose another run_dir to start over."
            if named is None
            else "Name the state_path of a checkpoint that this service has, or leave the key out: then the reference "
            "is what the run starts with."
        )
        raise UserError(
            f"{typed} cannot be loaded.\n  The service says: {in_its_words(error)}\n{advice}"
        ) from error
    if info.base_model != model_name:
        raise UserError(
            f"{typed} holds weights of {info.base_model}, but model.name={model_name}: log-probabilities of different "
            "models do not compare.\nName a training state of the same model."
        )
    return await service.create_training_client_from_state(state_path)
