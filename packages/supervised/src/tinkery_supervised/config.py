"""The keys of `train-sft`."""

from __future__ import annotations

import chz
from tinkery_core.config.checks import at_least, more_than
from tinkery_core.optimizer import OptimizerConfig
from tinkery_core.script import ScriptConfig

from tinkery_supervised.types import OnBadRow, SupervisedDatasetBuilder, SupervisedSetup


@chz.chz
class SupervisedConfig(ScriptConfig):
    """Config of supervised training: the data, the sizes of a step, and what is sampled to see what was learned."""

    dataset: SupervisedDatasetBuilder = chz.field(doc="the data to train on and to test on")
    optimizer: OptimizerConfig = chz.field(default_factory=OptimizerConfig, doc="Adam and its schedule")
    learning_rate: float = chz.field(
        default=1e-4, validator=more_than(0), doc="peak learning rate of the LoRA adapter"
    )
    batch_size: int = chz.field(
        default=32, validator=at_least(1), doc="rows of one step; with batch_tokens, at most so many"
    )
    batch_tokens: int | None = chz.field(
        default=None,
        validator=at_least(1),
        doc="tokens of one step, at most: as many rows as fit; null counts rows alone",
    )
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
