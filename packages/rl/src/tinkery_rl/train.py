"""The trainer: builds what a run needs, opens the service, and hands over to the mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tinkery_core.checkpoints import open_training_client

from tinkery_rl.evaluation import HeldOutEvaluator
from tinkery_rl.plan import print_rl_plan
from tinkery_rl.session import Session

if TYPE_CHECKING:
    from tinkery_core.run import Run

    from tinkery_rl.config import RLConfig

SHOWN = {
    "reward": "env/all/reward/total",
    "test reward": "test/env/all/reward/total",
    "kl": "optim/kl_sample_train",
}


async def train(config: RLConfig, run: Run) -> None:
    """Train as configured, or resume where `run` left off, or print the plan of a dry run.

    Raises RolloutError if an environment fails, UserError for a config that cannot work, ServiceError if the
    service fails.
    """
    datasets = config.env(config.setup)
    num_steps = min(len(datasets.train), config.max_steps or len(datasets.train))
    if run.dry_run:
        await print_rl_plan(config, datasets, num_steps)
        return
    if run.resume is not None and run.resume.kind == "final":
        run.print(f"All {num_steps} steps of this run are done: {run.dir}")
        return
    run.progress(num_steps, SHOWN)
    async with run.connect() as service, background_tasks() as background:
        session = Session(
            config=config,
            run=run,
            chat=config.model.load_chat(),
            dataset=datasets.train,
            evaluators=[HeldOutEvaluator(datasets.test, config)] if datasets.test is not None else [],
            training_client=await open_training_client(service, config, run),
            background=background,
            first_step=run.resume.step if run.resume is not None else 0,
            num_steps=num_steps,
        )
        await config.mode(session)


@asynccontextmanager
async def background_tasks() -> AsyncGenerator[asyncio.TaskGroup]:
    """Tasks that run beside the body. The first failure, there or here, ends all and is raised as itself."""
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except* Exception as group:
        failure = group.exceptions[0]
    if failure is not None:
        raise failure
