"""The trainer: builds what a run needs, opens the service, and hands over to the mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinkery_core.background import background_tasks
from tinkery_core.checkpoints import open_training_client
from tinkery_core.errors import UserError
from tinkery_core.evaluators import build_evaluators

from tinkery_rl.evaluation import HeldOutEvaluator
from tinkery_rl.plan import print_rl_plan
from tinkery_rl.reference import open_reference
from tinkery_rl.sampling import Sampler
from tinkery_rl.session import Session
from tinkery_rl.watchdog import watchdog

if TYPE_CHECKING:
    from tinkery_core.evaluators import Evaluator
    from tinkery_core.run import Run
    from tinkery_core.run_service import RunService

    from tinkery_rl.config import RLConfig
    from tinkery_rl.types import RLDataset

SHOWN = {
    "reward": "env/all/reward/total",
    "test reward": "test/env/all/reward/total",
    "kl": "optim/kl_sample_train",
}


async def train(config: RLConfig, run: Run) -> None:
    """Train as configured, or resume where `run` left off, or print the plan of a dry run.

    Raises RolloutError if an environment fails, PolicyMismatch if the guard stops the run, UserError for a
    config that cannot work, ServiceError if the service fails.
    """
    setup = config.setup
    datasets = config.env(setup)
    num_steps = number_of_steps(config, datasets.train)
    if run.dry_run:
        await print_rl_plan(config, datasets, num_steps)
        return
    if run.resume is not None and run.resume.kind == "final":
        run.print(f"All {num_steps} steps of this run are done: {run.dir}")
        return
    run.progress(num_steps, SHOWN)
    evaluators = make_evaluators(config, datasets.test, setup.service)
    async with run.connect() as service:
        setup.service.connect(service)
        training_client = await open_training_client(service, config, run)
        reference = await open_reference(service, training_client, config, run)
        async with background_tasks() as background:
            session = Session(
                config=config,
                run=run,
                chat=config.model.load_chat(),
                sampler=Sampler(config, datasets.train),
                evaluators=evaluators,
                training_client=training_client,
                reference=reference,
                background=background,
                first_step=run.resume.step if run.resume is not None else 0,
                num_steps=num_steps,
            )
            with watchdog(config.rollouts.max_call_seconds):
                await config.mode(session)


def number_of_steps(config: RLConfig, dataset: RLDataset) -> int:
    """How many steps the dataset has batches for, at most `max_steps`. Raises UserError if it is none."""
    if len(dataset) == 0:
        raise UserError("env has no batch to train on: lower groups_per_batch, or give it more data.")
    available = len(dataset) // config.batches_per_step
    if available == 0:
        raise UserError(
            f"algorithm.dynamic_sampling.max_batches={config.batches_per_step} is more than the {len(dataset)} "
            f"batches that env has, and a step takes that many.\n"
            f"Lower it to {len(dataset)} or less, or give env more batches."
        )
    return min(available, config.max_steps or available)


def make_evaluators(config: RLConfig, test: RLDataset | None, service: RunService) -> list[Evaluator]:
    """The evaluation on the env's held-out problems, if there are any, and those that the config names."""
    held_out = [] if test is None else [HeldOutEvaluator(test, config)]
    named = build_evaluators(
        config, max_tokens=config.max_tokens, temperature=config.temperature, service=service
    )
    return [*held_out, *named]
