"""An evaluation on another task than the one that is trained, or on the same with other settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import chz
from tinkery_core.config.checks import at_least
from tinkery_core.evaluators import EvaluationSetup, Evaluator, EvaluatorBuilder

from tinkery_rl.evaluation import HeldOutEvaluator
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.types import EnvGroupBuilder, RLDataset, RLDatasetBuilder, RLSetup


@chz.chz
class EnvEvaluator(EvaluatorBuilder):
    """Rolls out the policy in the environments of a task: those it holds out for tests, or else its first ones."""

    env: RLDatasetBuilder = chz.field(doc="the task")
    num_groups: int = chz.field(default=100, validator=at_least(1), doc="problems, at most")
    group_size: int = chz.field(
        default=4,
        validator=at_least(1),
        doc="attempts at each problem; a task that holds problems out may have a number of its own for these",
    )
    max_tokens: int | None = chz.field(
        default=None, validator=at_least(1), doc="tokens of one turn, at most; null is the run's own"
    )
    temperature: float | None = chz.field(
        default=None, validator=at_least(0), doc="sampling temperature, 0 is greedy; null is the run's own"
    )
    rollouts: RolloutConfig = chz.field(
        default_factory=RolloutConfig, doc="bounds on rollouts, and what happens when one fails"
    )

    def __call__(self, setup: EvaluationSetup) -> Evaluator:
        datasets = self.env(RLSetup(setup.model, self.num_groups, self.group_size, setup.seed, setup.service))
        dataset = datasets.train if datasets.test is None else datasets.test
        own = setup.sampling(self.max_tokens, self.temperature)
        sampling = _Sampling(own.seed, own.max_tokens, own.temperature, self.rollouts)
        return HeldOutEvaluator(_First(dataset, self.num_groups), sampling, setup.prefix)


@dataclass(frozen=True)
class _Sampling:
    """What the policy samples with."""

    seed: int
    max_tokens: int
    temperature: float
    rollouts: RolloutConfig


@dataclass(frozen=True)
class _First(RLDataset):
    """The first groups of a dataset, in one batch."""

    dataset: RLDataset
    num_groups: int

    def __len__(self) -> int:
        return 1

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        del index
        batches = map(self.dataset.get_batch, range(len(self.dataset)))
        return list(islice((group for batch in batches for group in batch), self.num_groups))
