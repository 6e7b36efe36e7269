"""Where metrics go beside the run folder."""

from __future__ import annotations

from typing import Literal

import chz


@chz.chz
class WandbConfig:
    """Weights & Biases. Off unless a project is named; needs the `wandb` package."""

    project: str = chz.field(doc="wandb project; naming one turns tracking on")
    entity: str | None = chz.field(default=None, doc="wandb team or user; null is the account's default")
    name: str | None = chz.field(default=None, doc="name shown for the run; null is the run folder's name")
    group: str | None = chz.field(default=None, doc="group of the run, e.g. the name of a sweep")
    mode: Literal["online", "offline"] = chz.field(
        default="online", doc="offline writes to the run folder only, for `wandb sync` later"
    )


@chz.chz
class LoggingConfig:
    """What is logged beside the files of the run folder, which are always written."""

    wandb: WandbConfig | None = chz.field(default=None, doc="track the run in Weights & Biases")
    rollouts: bool = chz.field(default=True, doc="write sampled transcripts to rollouts.jsonl")
