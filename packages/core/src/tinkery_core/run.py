"""An opened run folder: where a script logs to, saves to, and resumes from."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tinkery_core import folder
from tinkery_core.checkpoints import Checkpoint, CheckpointLog
from tinkery_core.config.values import blueprint_values, values_to_yaml
from tinkery_core.console import RunConsole
from tinkery_core.garbage import rare_collections
from tinkery_core.jsonl import append_lines
from tinkery_core.sampler_weights import find_stores
from tinkery_core.start_weights import StartWeights, find_start_weights
from tinkery_core.wandb_sink import WandbSink, check_wandb, first_new_step

if TYPE_CHECKING:
    import tinker

    from tinkery_core.backend import Service
    from tinkery_core.script import ScriptConfig


class Run:
    """What a script gets beside its config. Made by `open_run`.

    `resume` is the last checkpoint at opening; metrics and rollouts after it are already cut off. If its kind is
    `final`, nothing is left to train. `start` are the weights that a new run starts with, if `model.start_from` names
    any.
    """

    def __init__(
        self,
        config: ScriptConfig,
        console: RunConsole,
        resume: Checkpoint | None,
        start: StartWeights | None = None,
        wandb: WandbSink | None = None,
        also_stores: Sequence[Path] = (),
    ) -> None:
        self.dir = folder_of(config)
        self.dry_run = config.dry_run
        self.checkpoints = CheckpointLog(self.dir / folder.CHECKPOINTS)
        self.resume = resume
        self.start = start
        self._config = config
        self._console = console
        self._wandb = wandb
        self._also_stores = [*also_stores]
        if start is not None and start.store is not None:
            self._also_stores.append(start.store)
        self._service: Service | None = None

    def progress(self, total_steps: int, shown: Mapping[str, str]) -> None:
        """Tell the console how many steps there are, and which metrics to show: label → key, the headline first."""
        done = 0 if self.resume is None else self.resume.step
        self._console.start(total_steps, done, shown)

    def print(self, text: str) -> None:
        """Lines on the console and in log.txt."""
        self._console.print(text)

    def log(self, text: str) -> None:
        """Lines in log.txt only."""
        self._console.log(text)

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line of metrics.jsonl, and what shows of it on the console and in wandb. Once a step."""
        record = {"step": step} | {key: float(value) for key, value in metrics.items()}
        append_lines(self.dir / folder.METRICS, [json.dumps(record)])
        self._console.step(step, metrics)
        if self._wandb is not None:
            self._wandb.log(step, metrics)

    def log_rollouts(self, records: Sequence[Mapping[str, object]]) -> None:
        """Lines of rollouts.jsonl, unless `logging.rollouts=false`. Each record has an integer `step`."""
        if self._config.logging.rollouts:
            lines = [json.dumps(record, ensure_ascii=False) for record in records]
            append_lines(self.dir / folder.ROLLOUTS, lines)

    def start_service(self) -> None:
        """Start what the backend has to start, without waiting; `connect` does it if this was not called."""
        if self._service is None:
            self._service = self._config.backend(self.dir, [self._config.model.name], self._also_stores)

    def connect(self) -> AbstractAsyncContextManager[tinker.ServiceClient]:
        """A client of the configured service: `async with run.connect() as service`.

        Raises ServiceError if the service does not answer, or is lost while the body runs.
        """
        if self.dry_run:
            raise RuntimeError("a dry run connects to no service: print the plan and return")
        self.start_service()
        assert self._service is not None
        return self._service.connect()

    async def rest_client(self) -> tinker.RestClient:
        """What describes and deletes checkpoints at the service, inside `async with run.connect()`."""
        assert self._service is not None
        return await self._service.rest_client()

    def close_service(self) -> None:
        """Stop what the backend started."""
        if self._service is not None:
            self._service.close()


def folder_of(config: ScriptConfig) -> Path:
    """The run folder that the config names."""
    return Path(config.run_dir).expanduser()


@contextmanager
def open_run(
    config: ScriptConfig, console: RunConsole | None = None, yaml: str | None = None
) -> Generator[Run]:
    """Open `config.run_dir`: create it, or resume the run in it. `yaml` is what config.yaml records.

    A dry run has no folder. Raises UserError if the folder holds a run with a different config (naming the keys
    that differ) or other files, if another process has it, if the backend cannot work here, or if there is nothing
    where a new run is to start from.
    """
    console = console or RunConsole()
    path = folder_of(config)
    # A run that has a checkpoint needs what it once started from no more.
    is_new = CheckpointLog(path / folder.CHECKPOINTS).last() is None
    start = find_start_weights(config.model) if is_new else None
    also_stores = find_stores(config)
    if config.dry_run:
        yield Run(config, console, resume=None, start=start)
        return
    config.backend.check()
    if config.logging.wandb is not None:
        check_wandb(config.logging.wandb)
    values = blueprint_values(config)
    with ExitStack() as stack:
        stack.enter_context(rare_collections())
        stack.enter_context(folder.claimed(path))
        folder.record_config(path, values, yaml or values_to_yaml(values))
        new_step = first_new_step(path) if config.logging.wandb is not None else 0
        resume = folder.rewind(path)
        stack.enter_context(console.logging_to(path / folder.LOG))
        wandb = None
        if config.logging.wandb is not None:
            wandb = stack.enter_context(WandbSink(config.logging.wandb, path, values, new_step))
        run = Run(config, console, resume, start, wandb, also_stores)
        stack.callback(run.close_service)
        yield run
