"""An opened run folder: where a script logs to, saves to, and resumes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tinkery_core.checkpoints import Checkpoint, CheckpointLog
from tinkery_core.script import ScriptConfig

if TYPE_CHECKING:
    import tinker


class Run:
    """What a script gets beside its config. Made by `open_run`."""

    dir: Path
    dry_run: bool
    checkpoints: CheckpointLog
    resume: Checkpoint | None
    """The last checkpoint at opening; metrics and rollouts after it are already cut off. Kind `final`: all is done."""

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line of metrics.jsonl, and what shows of it on the console and in wandb."""

    def log_rollouts(self, records: Sequence[Mapping[str, object]]) -> None:
        """Lines of rollouts.jsonl; each record has an integer `step`."""

    def progress(self, total_steps: int, headline: Sequence[str]) -> None:
        """Tell the console how many steps there are and which metrics it shows, the most important first."""

    def print(self, text: str) -> None:
        """One line on the console and in log.txt."""

    def connect(self) -> AbstractAsyncContextManager[tinker.ServiceClient]:
        """A client of the configured service: `async with run.connect() as service`."""


@contextmanager
def open_run(config: ScriptConfig) -> Iterator[Run]:
    """Open `config.run_dir`: create it, or resume it if it holds the same config.

    Raises UserError if the folder holds a different config (naming the keys that differ), or another process has it.
    """
    yield Run()
