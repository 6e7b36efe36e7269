"""Metrics to Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from tinkery_core.errors import UserError
from tinkery_core.folder import METRICS, WANDB_ID, Values
from tinkery_core.jsonl import read_lines, write_atomically

if TYPE_CHECKING:
    from tinkery_core.tracking import WandbConfig
PACKAGE = "wandb"
_FIRST_NEW_STEP = ".wandb_step"


class WandbSink:
    """One wandb run for one run folder: a resume continues the same one, by the id stored in the folder.

    wandb cannot take steps back. Steps from `first_new_step` on are logged; those before it were, by the run that was
    killed after them, and are not logged again when they are trained again. A wandb server knows better what it has.
    """

    def __init__(self, config: WandbConfig, run_dir: Path, values: Values, first_new_step: int) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")  # its settings silence less
        wandb = import_module(PACKAGE)
        stored = run_dir / WANDB_ID
        if not stored.exists():
            write_atomically(stored, uuid4().hex[:12])
        try:
            run = wandb.init(
                project=config.project,
                entity=config.entity,
                name=config.name or run_dir.resolve().name,
                group=config.group,
                mode=config.mode,
                id=stored.read_text(),
                resume="allow",
                dir=str(run_dir.resolve()),
                config=dict(values),
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            raise UserError(
                f"logging.wandb.project={config.project}: wandb cannot start: {error}\n"
                "Type `wandb login` first, or logging.wandb.mode=offline to track without a network and a key."
            ) from error
        self._first_new_step: int = first_new_step if config.mode == "offline" else run.starting_step
        self._log: Callable[..., None] = run.log
        self._finish: Callable[..., None] = run.finish

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        if step >= self._first_new_step:
            self._log(dict(metrics), step=step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish(exit_code=0 if kind is None else 1)


def first_new_step(run_dir: Path) -> int:
    """The step after the last one that was ever logged. To be called before the run folder is rewound."""
    noted = run_dir / _FIRST_NEW_STEP
    first = max(
        [int(noted.read_text()) if noted.exists() else 0]
        + [int(str(record["step"])) + 1 for record in read_lines(run_dir / METRICS)]
    )
    write_atomically(noted, str(first))
    return first


def check_wandb(config: WandbConfig) -> None:
    """Raise UserError if the `wandb` package is not installed."""
    if find_spec(PACKAGE) is None:
        raise UserError(
            f"logging.wandb.project={config.project} needs the package wandb, which is not installed.\n"
            "Type `uv add wandb`, or leave logging.wandb out: metrics.jsonl is always written."
        )
