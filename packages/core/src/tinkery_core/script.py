"""The keys that every launch script shares."""

from __future__ import annotations

from collections.abc import Mapping

import chz

from tinkery_core.backend import Backend
from tinkery_core.config.checks import at_least
from tinkery_core.evaluators import EvaluatorBuilder
from tinkery_core.model import ModelConfig
from tinkery_core.tracking import LoggingConfig


@chz.chz
class ScriptConfig:
    """Base class of each launch script's config."""

    run_dir: str = chz.field(doc="folder of the run; the same folder again resumes it")
    seed: int = chz.field(default=0, doc="seed of data order, LoRA initialisation and sampling")
    max_steps: int | None = chz.field(
        default=None,
        validator=at_least(1),
        doc="stop after this many training steps; null trains on all of the data",
    )
    eval_every: int = chz.field(
        default=10, validator=at_least(0), doc="steps between evaluations; 0 evaluates at the end only"
    )
    save_every: int = chz.field(
        default=20, validator=at_least(0), doc="steps between checkpoints; 0 saves at the end only"
    )
    rolling_save_every: int = chz.field(
        default=0,
        validator=at_least(0),
        doc="steps between checkpoints of which only the last is kept; 0 is none",
    )
    evaluators: Mapping[str, EvaluatorBuilder] = chz.field(
        default_factory=dict[str, EvaluatorBuilder],
        doc="further evaluations by name, reported as test/<name>/…",
    )
    dry_run: bool = chz.field(default=False, doc="print the plan without calling any service")
    backend: Backend = chz.field(doc="which Tinker service trains and samples")
    model: ModelConfig = chz.field(doc="which model is trained")
    logging: LoggingConfig = chz.field(
        default_factory=LoggingConfig, doc="where metrics go beside the run folder"
    )
