"""Checkpoints: saved in the background, recorded when complete, resumed from the last record."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinkery_core.checkpoint_log import Checkpoint, CheckpointKind, CheckpointLog
from tinkery_core.errors import ServiceError
from tinkery_core.failure import in_its_words

if TYPE_CHECKING:
    import tinker

    from tinkery_core.run import Run
    from tinkery_core.script import ScriptConfig

__all__ = [
    "Checkpoint",
    "CheckpointKind",
    "CheckpointLog",
    "PendingCheckpoint",
    "checkpoint_due",
    "enqueue_checkpoint",
    "open_training_client",
    "save_checkpoint",
]

_DELETION_TIMEOUT_S = 30.0


def checkpoint_due(config: ScriptConfig, num_applied: int, num_steps: int) -> CheckpointKind | None:
    """The checkpoint to make after `num_applied` of `num_steps` batches, if any.

    After the last batch none is due: the final checkpoint is made anyway.
    """
    if not 0 < num_applied < num_steps:
        return None
    if config.save_every and num_applied % config.save_every == 0:
        return "periodic"
    if config.rolling_save_every and num_applied % config.rolling_save_every == 0:
        return "rolling"
    return None


@dataclass(frozen=True)
class PendingCheckpoint:
    """Two saves in flight. Await `recorded()`, in the background if training goes on meanwhile."""

    step: int
    kind: CheckpointKind
    state: tinker.APIFuture[tinker.types.SaveWeightsResponse]
    sampler: tinker.APIFuture[tinker.types.SaveWeightsForSamplerResponse]
    run: Run

    async def recorded(self) -> Checkpoint:
        """Wait for both saves, append the record to checkpoints.jsonl, then delete the rolling one before it.

        Checkpoints are to be awaited one after the other, in the order of their steps.
        """
        state, sampler = await self.state, await self.sampler
        checkpoint = Checkpoint(self.step, self.kind, state_path=state.path, sampler_path=sampler.path)
        self.run.checkpoints.append(checkpoint)
        await delete_superseded(self.run)
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
    return PendingCheckpoint(step, kind, state, sampler, run)


async def save_checkpoint(
    training_client: tinker.TrainingClient, run: Run, step: int, kind: CheckpointKind
) -> Checkpoint:
    """Save weights, optimizer and sampler weights after `step` applied batches, and record them."""
    pending = await enqueue_checkpoint(training_client, run, step, kind)
    return await pending.recorded()


async def delete_superseded(run: Run) -> None:
    """Delete the weights of rolling checkpoints that have a successor on record.

    A failure is a line in log.txt: the weights stay noted, and go after the next checkpoint or with the next run.
    """
    paths = run.checkpoints.supersede()
    deleted = [path for path in paths if await _is_deleted(run, path)]
    if deleted:
        run.checkpoints.forget(deleted)


async def _is_deleted(run: Run, path: str) -> bool:
    """Delete the weights at this path, unless they are gone already."""
    import tinker

    try:
        async with asyncio.timeout(_DELETION_TIMEOUT_S):
            client = await run.rest_client()
            await client.delete_checkpoint_from_tinker_path(path)
    except tinker.NotFoundError:
        return True
    except (tinker.TinkerError, TimeoutError) as error:
        reason = in_its_words(error) or f"no answer for {_DELETION_TIMEOUT_S:g} s"
        run.log(f"The superseded checkpoint {path} could not be deleted: {reason}")
        return False
    return True


async def open_training_client(
    service: tinker.ServiceClient, config: ScriptConfig, run: Run
) -> tinker.TrainingClient:
    """The LoRA adapter to train: continued from `run.resume` with its optimizer, or one that starts with the
    weights that `model.start_from` names, or a fresh one.

    Raises ServiceError if the checkpoint cannot be loaded, UserError if `model.start_from` cannot be the start.
    """
    if run.resume is not None:
        return await _resumed_client(service, run, run.resume)
    if run.start is not None:
        await run.start.check(await run.rest_client(), config.model)
        return await service.create_training_client_from_state(run.start.path)
    return await service.create_lora_training_client(
        config.model.name, rank=config.model.lora_rank, seed=config.seed
    )


async def _resumed_client(
    service: tinker.ServiceClient, run: Run, checkpoint: Checkpoint
) -> tinker.TrainingClient:
    import tinker

    try:
        client = await service.create_training_client_from_state_with_optimizer(checkpoint.state_path)
    except tinker.TinkerError as error:
        raise ServiceError(
            f"The checkpoint of step {checkpoint.step} cannot be loaded: {checkpoint.state_path}\n"
            f"  the service says: {in_its_words(error)}\n"
            f"To resume from the one before, delete the last line of {run.checkpoints.path}; "
            "to start over, choose another run_dir."
        ) from error
    await delete_superseded(run)
    return client
