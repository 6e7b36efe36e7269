"""The trainer of `train-dpo`: the supervised session with another objective, and a frozen reference beside it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from tinkery_core.background import background_tasks
from tinkery_core.checkpoints import open_training_client
from tinkery_core.evaluators import build_evaluators
from tinkery_core.plan import print_plan
from tinkery_core.reference import load_reference, reference_state
from tinkery_core.run_service import RunService

from tinkery_supervised.answers import HeldOutAnswers, before_and_after
from tinkery_supervised.dpo.objective import DPO
from tinkery_supervised.dpo.reference import ReferenceLogprobs, ScoredAhead, ScoredBatch
from tinkery_supervised.preferences.dataset import PairBatch, PairDatasets, make_pair_datasets
from tinkery_supervised.reading import DataThread, data_thread
from tinkery_supervised.session import Session
from tinkery_supervised.types import Batch

if TYPE_CHECKING:
    import tinker
    from tinkery_core.run import Run

    from tinkery_supervised.dpo.config import DPOConfig

SHOWN = {"loss": "train/dpo_loss", "accuracy": "train/accuracy", "test accuracy": "test/accuracy"}
NUM_SAMPLES = 2


async def train(config: DPOConfig, run: Run) -> None:
    """Train as configured, or resume where `run` left off, or print the plan of a dry run.

    Raises UserError for data, a reference or a config that cannot work, ServiceError if the service fails.
    """
    async with data_thread() as data:
        datasets = await data.run(lambda: make_pair_datasets(config.preferences(config.on_bad_row), config))
        num_steps = min(len(datasets.train), config.max_steps or len(datasets.train))
        if run.dry_run:
            print_dpo_plan(config, datasets, num_steps)
            return
        if run.resume is not None and run.resume.kind == "final":
            run.print(f"All {num_steps} steps of this run are done: {run.dir}")
            return
        run.progress(num_steps, SHOWN)
        run_service = RunService()
        evaluators = build_evaluators(
            config, max_tokens=config.max_tokens, temperature=config.temperature, service=run_service
        )
        async with run.connect() as service, background_tasks() as background:
            run_service.connect(service)
            training_client = await open_training_client(service, config, run)
            reference = await open_reference(service, training_client, config, run)
            test = background.create_task(data.run(datasets.load_test))
            scored_test = background.create_task(score_each(reference, test))
            session = Session(
                config=config,
                run=run,
                objective=DPO(training_client, config, scored_test),
                evaluators=evaluators,
                answers=HeldOutAnswers(
                    config, config.model.load_chat(), background.create_task(chosen_answers(test))
                )
                if config.num_answers
                else None,
                training_client=training_client,
                background=background,
                first_step=run.resume.step if run.resume is not None else 0,
                num_steps=num_steps,
            )
            ahead = ScoredAhead(reference, config.submit_ahead + 1)
            background.create_task(score_batches(data, datasets, session, scored_test, ahead))
            await session.train(ahead)
        if text := before_and_after(run):
            run.print(text)


async def open_reference(
    service: tinker.ServiceClient, training_client: tinker.TrainingClient, config: DPOConfig, run: Run
) -> ReferenceLogprobs:
    """The frozen reference of the run. The service loads it when it is first asked for something new."""
    state_path = await reference_state(training_client, config.reference, run)

    async def open_client() -> tinker.TrainingClient:
        return await load_reference(
            service, state_path, run, key="reference", named=config.reference, model_name=config.model.name
        )

    return ReferenceLogprobs(run.dir, state_path, open_client)


async def score_batches(
    data: DataThread,
    datasets: PairDatasets,
    session: Session[ScoredBatch],
    test: asyncio.Task[list[ScoredBatch]],
    ahead: ScoredAhead,
) -> None:
    """Read and score the batches of the session, ahead of it. The test comes first, so that the order is always one."""
    await test
    steps = range(session.first_step, session.num_steps)
    async with aclosing(data.read_ahead(datasets.train.get_batch, steps, 1)) as batches:
        await ahead.score_all(batches)


async def score_each(
    reference: ReferenceLogprobs, batches: asyncio.Task[list[PairBatch]]
) -> list[ScoredBatch]:
    return [await reference.score(batch) for batch in await batches]


async def chosen_answers(batches: asyncio.Task[list[PairBatch]]) -> list[Batch]:
    """The chosen answers alone, whose questions are asked at each evaluation."""
    return [Batch([pair.chosen for pair in batch.pairs_D]) for batch in await batches]


def print_dpo_plan(config: DPOConfig, datasets: PairDatasets, num_steps: int) -> None:
    """Print how many steps and tokens the run has, and its first pairs as the model will read them."""
    batch = datasets.train.get_batch(0)
    counts = batch.metrics()
    rows = {
        "steps": num_steps,
        "pairs of the first step": len(batch.pairs_D),
        "tokens": f"{counts['data/num_tokens']:.0f}",
        "of which in answers": f"{counts['data/num_targets']:.0f}",
        "pairs left out": f"{counts['data/num_cut_pairs'] + counts['data/num_bad_rows']:.0f}",
        "held-out pairs": sum(len(batch.pairs_D) for batch in datasets.load_test()),
    }
    chat = config.model.load_chat()
    samples = [
        f"chosen: {chat.decode(pair.chosen.tokens_T)}\nrejected: {chat.decode(pair.rejected.tokens_T)}"
        for pair in batch.pairs_D[:NUM_SAMPLES]
    ]
    print_plan("direct preference optimisation", rows, samples)
