"""Checkpoints: saved in the background, recorded when complete, resumed from the last record."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from tinkery_core.errors import ServiceError
from tinkery_core.failure import in_its_words
from tinkery_core.jsonl import append_lines, read_lines

if TYPE_CHECKING:
    from pathlib import Path

    import tinker

    from tinkery_core.run import Run
    from tinkery_core.script import ScriptConfig

CheckpointKind = Literal["periodic", "final"]


@dataclass(frozen=True)
class Checkpoint:
    """Weights that a run can continue from.

    `step` is the number of batches applied, so the next batch to train on has index `step`. `state_path` holds weights
    and optimizer, `sampler_path` weights to sample from.
    """

    step: int
    kind: CheckpointKind
    state_path: str
    sampler_path: str


class CheckpointLog:
    """checkpoints.jsonl: one record a checkpoint, appended when both of its saves are complete."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> list[Checkpoint]:
        return [_parse(line) for line in read_lines(self.path)]

    def last(self) -> Checkpoint | None:
        records = self.records()
        return records[-1] if records else None

    def append(self, checkpoint: Checkpoint) -> None:
        append_lines(self.path, [json.dumps(asdict(checkpoint))], durable=True)


def _parse(line: dict[str, object]) -> Checkpoint:
    return Checkpoint(
        step=int(str(line["step"])),
        kind="final" if line["kind"] == "final" else "periodic",
        state_path=str(line["state_path"]),
        sampler_path=str(line["sampler_path"]),
    )


@dataclass(frozen=True)
class PendingCheckpoint:
    """Two saves in flight. Await `recorded()`, in the background if training goes on meanwhile."""

    step: int
    kind: CheckpointKind
    state: tinker.APIFuture[tinker.types.SaveWeightsResponse]
    sampler: tinker.APIFuture[tinker.types.SaveWeightsForSamplerResponse]
    log: CheckpointLog

    async def recorded(self) -> Checkpoint:
        """Wait for both saves, then append the record to checkpoints.jsonl."""
        state, sampler = await self.state, await self.sampler
        checkpoint = Checkpoint(self.step, self.kind, state_path=state.path, sampler_path=sampler.path)
        self.log.append(checkpoint)
        return checkpoint


async def enqueue_checkpoint(
    training_client: tinker.TrainingClient, run: Run, step: int, kind: CheckpointKind
) -> PendingCheckpoint:
    """Queue both saves at the service. What is enqueued after this returns is not part of the checkpoint.

    `save_weights_for_sampler` takes its place in the queue on the SDK's own thread, so a training call made right
    after it could slip in front; a round trip to that thread rules this out.
    """
    name = f"{step:06d}"
    state = training_client.save_state(name)
    sampler = training_client.save_weights_for_sampler(name)
    await training_client.holder.run_coroutine_threadsafe(asyncio.sleep(0))
    return PendingCheckpoint(step, kind, state, sampler, run.checkpoints)


async def save_checkpoint(
    training_client: tinker.TrainingClient, run: Run, step: int, kind: CheckpointKind
) -> Checkpoint:
    """Save weights, optimizer and sampler weights after `step` applied batches, and record them."""
    pending = await enqueue_checkpoint(training_client, run, step, kind)
    return await pending.recorded()


async def open_training_client(
    service: tinker.ServiceClient, config: ScriptConfig, run: Run
) -> tinker.TrainingClient:
    """The LoRA adapter to train: continued from `run.resume` with its optimizer, or a new one.

    Raises ServiceError if the checkpoint cannot be loaded.
    """
    import tinker

    if run.resume is None:
        return await service.create_lora_training_client(
            config.model.name, rank=config.model.lora_rank, seed=config.seed
        )
    try:
        return await service.create_training_client_from_state_with_optimizer(run.resume.state_path)
    except tinker.TinkerError as error:
        raise ServiceError(
            f"The checkpoint of step {run.resume.step} cannot be loaded: {run.resume.state_path}\n"
            f"  the service says: {in_its_words(error)}\n"
            f"To resume from the one before, delete the last line of {run.checkpoints.path}; "
            "to start over, choose another run_dir."
        ) from error
