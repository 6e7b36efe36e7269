"""The trainer: builds what a run needs, opens the service, and trains."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from tinkery_core.background import background_tasks
from tinkery_core.checkpoints import open_training_client
from tinkery_core.evaluators import build_evaluators
from tinkery_core.folder import METRICS
from tinkery_core.jsonl import read_lines
from tinkery_core.run_service import RunService

from tinkery_supervised.answers import HeldOutAnswers, before_and_after
from tinkery_supervised.cross_entropy import CrossEntropy
from tinkery_supervised.plan import print_supervised_plan
from tinkery_supervised.reading import data_thread
from tinkery_supervised.session import Session

if TYPE_CHECKING:
    import tinker
    from tinkery_core.evaluators import Evaluator
    from tinkery_core.run import Run

    from tinkery_supervised.config import SupervisedConfig, TrainerConfig
    from tinkery_supervised.types import Batch, SupervisedDataset

SHOWN = {"nll": "train/nll", "test nll": "test/nll", "exact": "test/exact_match"}

LEFT_OUT = {
    "data/num_cut_examples": "examples cut to max_length",
    "data/num_idle_rows": "rows left out with nothing to learn",
    "data/num_bad_rows": "malformed rows left out (log.txt names them)",
}


async def train(config: SupervisedConfig, run: Run) -> None:
    """Train as configured, or resume where `run` left off, or print the plan of a dry run.

    Raises UserError for data or a config that cannot work, ServiceError if the service fails.
    """
    async with data_thread() as data:
        datasets = await data.run(lambda: config.dataset(config.setup))
        if config.batch_tokens is not None and config.max_steps is None:
            run.print("Counting batches of batch_tokens, for which the data is tokenised once")
        num_batches = await data.run(lambda: len(datasets.train))
        num_steps = min(num_batches, config.max_steps or num_batches)
        if run.dry_run:
            print_supervised_plan(config, datasets, num_steps)
            return
        if run.resume is not None and run.resume.kind == "final":
            run.print(f"All {num_steps} steps of this run are done: {run.dir}")
            return
        first_step = run.resume.step if run.resume is not None else 0
        run.progress(num_steps, SHOWN)
        async with run.connect() as service, background_tasks() as background:
            test = background.create_task(data.run(lambda: get_all_batches(datasets.test, run)))
            training_client = await open_training_client(service, config, run)
            session = Session(
                config=config,
                run=run,
                objective=CrossEntropy(training_client, test),
                evaluators=make_evaluators(config, service),
                answers=HeldOutAnswers(config, config.model.load_chat(), test)
                if config.num_answers
                else None,
                training_client=training_client,
                background=background,
                first_step=first_step,
                num_steps=num_steps,
            )
            read = partial(get_batch, datasets.train, run)
            steps = range(first_step, num_steps)
            async with aclosing(data.read_ahead(read, steps, config.submit_ahead + 1)) as batches:
                await session.train(batches)
        for text in (before_and_after(run), what_was_left_out(run)):
            if text:
                run.print(text)


def make_evaluators(config: TrainerConfig, service: tinker.ServiceClient) -> list[Evaluator]:
    """The evaluators that the config names; they may ask the service too. Held-out data is the session's own."""
    run_service = RunService()
    run_service.connect(service)
    return build_evaluators(
        config, max_tokens=config.max_tokens, temperature=config.temperature, service=run_service
    )


def what_was_left_out(run: Run) -> str:
    """A line on what of the data was cut or left out in the whole run, or nothing, from metrics.jsonl."""
    totals = Counter[str]()
    for line in read_lines(run.dir / METRICS):
        totals.update({key: int(float(str(value))) for key, value in line.items() if key.startswith("data/")})
    parts = [f"{totals[key]:,} {words}" for key, words in LEFT_OUT.items() if totals[key]]
    return f"{totals['data/num_examples']:,} examples trained on; {', '.join(parts)}" if parts else ""


def get_batch(dataset: SupervisedDataset, run: Run, index: int) -> Batch:
    """A batch of a dataset; log.txt says which rows were left out as malformed."""
    batch = dataset.get_batch(index)
    for row in batch.bad_rows:
        run.log(f"left out: {row}")
    return batch


def get_all_batches(dataset: SupervisedDataset | None, run: Run) -> list[Batch]:
    """All batches of a dataset that is small enough to be kept; none of no dataset."""
    return [] if dataset is None else [get_batch(dataset, run, index) for index in range(len(dataset))]
