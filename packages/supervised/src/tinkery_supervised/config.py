"""The keys of `train-sft`, and those that it shares with other training on fixed data."""

from __future__ import annotations

import chz
from tinkery_core.config.checks import at_least, more_than
from tinkery_core.optimizer import OptimizerConfig
from tinkery_core.script import ScriptConfig

from tinkery_supervised.types import OnBadRow, SupervisedDatasetBuilder, SupervisedSetup


@chz.chz
class TrainerConfig(ScriptConfig):
    """Config of training on fixed data: the sizes of a step, and what is sampled to see what was learned."""

    optimizer: OptimizerConfig = chz.field(default_factory=OptimizerConfig, doc="Adam and its schedule")
    learning_rate: float = chz.field(
        default=1e-4, validator=more_than(0), doc="peak learning rate of the LoRA adapter"
    )
    batch_size: int = chz.field(default=32, validator=at_least(1), doc="rows of one step")
    epochs: int = chz.field(default=1, validator=at_least(1), doc="passes over the data")
    max_length: int | None = chz.field(
        default=None, validator=at_least(2), doc="tokens after which an example is cut off; null is no bound"
    )
    on_bad_row: OnBadRow = chz.field(
        default="fail", doc="whether a malformed row ends the run or is left out and counted"
    )
    submit_ahead: int = chz.field(
        default=1,
        validator=at_least(0),
        doc="steps that are sent to the service before the one at work is done; the result is the same",
    )
    num_answers: int = chz.field(
        default=8,
        validator=at_least(0),
        doc="held-out examples whose last answer is sampled at each evaluation, to be read in rollouts.jsonl",
    )
    max_tokens: int = chz.field(default=256, validator=at_least(1), doc="tokens of a sampled answer, at most")
    temperature: float = chz.field(
        default=0.0, validator=at_least(0), doc="sampling temperature of answers; 0 is greedy"
    )


@chz.chz
class SupervisedConfig(TrainerConfig):
    """Config of supervised training on conversations."""

    dataset: SupervisedDatasetBuilder = chz.field(doc="the data to train on and to test on")
    batch_tokens: int | None = chz.field(
        default=None,
        validator=at_least(1),
        doc="tokens of one step, at most: as many of batch_size rows as fit; null counts rows alone",
    )

    @property
    def setup(self) -> SupervisedSetup:
        """What the dataset has to know of this run."""
        return SupervisedSetup(
            model=self.model,
            batch_size=self.batch_size,
            batch_tokens=self.batch_tokens,
            epochs=self.epochs,
            max_steps=self.max_steps,
            max_length=self.max_length,
            on_bad_row=self.on_bad_row,
            seed=self.seed,
        )
