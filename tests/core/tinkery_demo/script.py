"""`demo`: counts, trains or fails, as its `task` says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import chz
from tinkery_core.checkpoints import open_training_client, save_checkpoint
from tinkery_core.config.checks import at_least, between
from tinkery_core.errors import ServiceError, UserError
from tinkery_core.launch import launch
from tinkery_core.plan import print_plan
from tinkery_core.run import Run
from tinkery_core.script import ScriptConfig
from tinkery_core.tokenizer import load_tokenizer

SHOWN = {"reward": "env/all/reward/total"}


@chz.chz
class Noise:
    """Part of a task that has defaults for all of its fields."""

    kind: Literal["none", "gauss"] = chz.field(default="none", doc="distribution")
    width: float = chz.field(default=1.0, validator=at_least(0), doc="standard deviation")


@chz.chz
class Task(ABC):
    """What the demo does."""

    @abstractmethod
    async def __call__(self, config: DemoConfig, run: Run) -> None: ...


@chz.chz
class Count(Task):
    """Logs one metric a step, without any service."""

    scale: float = chz.field(default=1.0, validator=between(0, 10), doc="factor of the count")
    noise: Noise = chz.field(default_factory=lambda: Noise(width=0.25), doc="added to the count")
    extra: Noise | None = chz.field(default=None, doc="added once more")
    names: list[str] = chz.field(default_factory=list, doc="who counts")
    noises: tuple[Noise, ...] = chz.field(default=(), doc="added too")

    async def __call__(self, config: DemoConfig, run: Run) -> None:
        for step in range(config.max_steps or 3):
            run.log_metrics(step, {"env/all/reward/total": step * self.scale})


@chz.chz
class Train(Task):
    """Trains on one datum, with a checkpoint after each step."""

    async def __call__(self, config: DemoConfig, run: Run) -> None:
        import tinker

        async with run.connect() as service:
            training_client = await open_training_client(service, config, run)
            tokens = load_tokenizer(config.model.name).encode("What is 1 + 2?", add_special_tokens=False)
            weights = [1.0] * (len(tokens) - 1)
            datum = tinker.Datum(
                model_input=tinker.ModelInput.from_ints(tokens[:-1]),
                loss_fn_inputs={
                    "target_tokens": tinker.TensorData(data=tokens[1:], dtype="int64"),
                    "weights": tinker.TensorData(data=weights, dtype="float32"),
                },
            )
            num_steps = config.max_steps or 3
            for step in range(run.resume.step if run.resume else 0, num_steps):
                backward = training_client.forward_backward([datum], "cross_entropy")
                update = training_client.optim_step(tinker.AdamParams(learning_rate=1e-3))
                result = await backward
                await update
                run.log_metrics(step, {"env/all/reward/total": -result.metrics["loss:sum"]})
                usual = "rolling" if config.rolling_save_every else "periodic"
                kind = "final" if step + 1 == num_steps else usual
                await save_checkpoint(training_client, run, step + 1, kind)


@chz.chz
class Fail(Task):
    """Logs one metric, then fails."""

    how: Literal["bug", "usage", "service", "odd_seed"] = chz.field(default="bug", doc="which way")

    async def __call__(self, config: DemoConfig, run: Run) -> None:
        run.log_metrics(0, {"env/all/reward/total": 0.0})
        match self.how:
            case "bug":
                raise ZeroDivisionError("division by zero in the environment")
            case "usage":
                raise UserError("task.how=usage: this cannot work.\nType task.how=bug instead.")
            case "service":
                raise ServiceError("The service said no.")
            case "odd_seed" if config.seed % 2:
                raise ServiceError("The service said no.")
            case _:
                pass


@chz.chz
class DemoConfig(ScriptConfig):
    """Config of the demo script."""

    task: Task = chz.field(doc="what is done")
    batch_size: int = chz.field(default=4, validator=at_least(1), doc="items of one step")
    learning_rate: float = chz.field(default=1e-3, doc="step size")
    note: str | None = chz.field(default=None, doc="free text")


@launch("tinkery_demo.conf", "demo")
async def demo(config: DemoConfig, run: Run) -> None:
    """Count, train or fail."""
    if run.dry_run:
        print_plan("demo", {"steps": config.max_steps or 3}, ["the first prompt"])
        return
    run.progress(config.max_steps or 3, SHOWN)
    await config.task(config, run)


if __name__ == "__main__":
    demo()
