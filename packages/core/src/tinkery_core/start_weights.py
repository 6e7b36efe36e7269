"""`model.start_from`: weights of a training state that a new run starts with."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinkery_core.checkpoint_log import Checkpoint, CheckpointLog
from tinkery_core.errors import ServiceError, UserError
from tinkery_core.failure import in_its_words
from tinkery_core.folder import CHECKPOINTS, CONFIG_JSON, STORE

if TYPE_CHECKING:
    import tinker

    from tinkery_core.model import ModelConfig

_STATE = re.compile(r"tinker://[^/]+/weights/[^/]+")
_EXPECTED = "Expected the folder of a run, or the path of a training state, tinker://<run>/weights/<name>."


@dataclass(frozen=True)
class StartWeights:
    """What `model.start_from` names: a training state at the service.

    `store` is the folder where the embedded server of another run keeps it, if one does.
    """

    typed: str
    path: str
    store: Path | None = None

    async def check(self, client: tinker.RestClient, model: ModelConfig) -> None:
        """Raise UserError if the service has no such state, or one of another model or another LoRA rank."""
        import tinker

        try:
            found = await client.get_weights_info_by_tinker_path(self.path)
        except tinker.NotFoundError as error:
            raise UserError(
                f"model.start_from={self.typed}: the service has no training state {self.path}.\n"
                f"  It says: {in_its_words(error)}\n"
                "Name one of this service. With backend=local each run keeps its own: type the folder of that run."
            ) from error
        except tinker.TinkerError as error:
            raise ServiceError(
                f"model.start_from={self.typed} cannot be used. The service says: {in_its_words(error)}"
            ) from error
        if found.base_model != model.name:
            raise UserError(
                f"model.start_from={self.typed} holds weights of {found.base_model}, but model.name={model.name}.\n"
                "Choose the same model, or other weights."
            )
        if found.lora_rank not in (None, model.lora_rank):
            raise UserError(
                f"model.start_from={self.typed} holds a LoRA adapter of rank {found.lora_rank}, "
                f"but model.lora_rank={model.lora_rank}.\nType model.lora_rank={found.lora_rank}"
            )


def find_start_weights(model: ModelConfig) -> StartWeights | None:
    """What `model.start_from` names, before any service is asked; None if it is not set.

    Raises UserError if it is neither a path of the right form nor the folder of a run with a checkpoint.
    """
    typed = model.start_from
    if typed is None:
        return None
    if not typed.startswith("tinker://"):
        last, store = last_of_run("model.start_from", typed, _EXPECTED)
        return StartWeights(typed, last.state_path, store)
    if "/sampler_weights/" in typed:
        raise UserError(
            f"model.start_from={typed} holds weights to sample from, which cannot be trained on.\n"
            "Type the state_path that stands beside it in checkpoints.jsonl."
        )
    if not _STATE.fullmatch(typed):
        raise UserError(f"model.start_from={typed} is not the path of a training state.\n{_EXPECTED}")
    return StartWeights(typed, typed)


def last_of_run(key: str, typed: str, expected: str) -> tuple[Checkpoint, Path | None]:
    """The last checkpoint of the run in the folder that `key` names, and where an embedded server keeps it.

    Raises UserError if there is no such folder, or no checkpoint on record in it.
    """
    folder = Path(typed).expanduser()
    if not folder.is_dir():
        raise UserError(f"{key}={typed}: there is no such folder.\n{expected}")
    last = CheckpointLog(folder / CHECKPOINTS).last()
    if last is None or not (folder / CONFIG_JSON).exists():
        raise UserError(
            f"{key}={typed}: that folder has no checkpoint on record ({CHECKPOINTS}).\n"
            "Wait until its run has saved one, or name another run."
        )
    store = _store_of_run(folder)
    return last, store if store.is_dir() else None


def _store_of_run(folder: Path) -> Path:
    """Where the embedded server of the run in this folder, if it has one, keeps checkpoints."""
    config = json.loads((folder / CONFIG_JSON).read_text())
    named: str | None = config["backend"].get("store")  # what another kind of backend has not
    return folder / STORE if named is None else Path(named).expanduser()
