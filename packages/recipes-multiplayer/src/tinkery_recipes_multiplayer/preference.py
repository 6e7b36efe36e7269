"""Reinforcement learning from preferences: a judge compares the policy's answers to each prompt pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import chz
from tinkery_core.config.checks import at_least
from tinkery_rl.envs.judges import Judge, JudgeBuilder
from tinkery_rl.envs.pairwise import PairwiseGroupBuilder, compare_all, pairwise_rewards
from tinkery_rl.types import (
    Env,
    EnvGroupBuilder,
    GroupReward,
    RLDataset,
    RLDatasetBuilder,
    RLDatasets,
    RLSetup,
    Trajectory,
)
from tinkery_supervised.preferences.dataset import PreferencesBuilder, good
from tinkery_supervised.preferences.pairs import Preference
from tinkery_supervised.rows import Table, TableRows
from tinkery_supervised.types import BadRow


@chz.chz
class AgainstAnswerBuilder(PairwiseGroupBuilder):
    """Answers that are not compared with each other, but each with one that is given, both ways."""

    answer: str = chz.field(doc="the answer to compare with")

    async def compute_group_rewards(
        self, trajectories_G: Sequence[Trajectory], envs_G: Sequence[Env]
    ) -> Sequence[GroupReward]:
        """From -1, worse than the given answer, to 1, better; 0 is as good. `win_rate` is the same from 0 to 1."""
        del envs_G
        own_G = [self.competing_answer(trajectory) for trajectory in trajectories_G]
        given = len(own_G)
        pairs = [order for member in range(given) for order in ((member, given), (given, member))]
        comparisons = await compare_all(
            self.judge, self.messages, [*own_G, self.answer], pairs, self.max_concurrent_calls
        )
        return pairwise_rewards(given + 1, comparisons)[:given]


@dataclass(frozen=True)
class PreferenceDataset(RLDataset):
    """The prompts to train on, pass after pass, each in an order of its own."""

    table: Table[Preference | BadRow]
    judge: Judge
    setup: RLSetup
    num_batches: int
    both_ways: bool

    def __len__(self) -> int:
        return self.num_batches

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        size = self.setup.groups_per_batch
        rows = islice(TableRows(self.table).read(self.setup.seed, index * size), size)
        return [
            PairwiseGroupBuilder(
                messages=tuple(good(row).prompt),
                model=self.setup.model,
                judge=self.judge,
                num_envs=self.setup.group_size,
                both_ways=self.both_ways,
                seed=index,
            )
            for row in rows
        ]


@dataclass(frozen=True)
class HeldOutPreferences(RLDataset):
    """The held-out prompts in one batch; their answers are compared with the chosen ones of the data."""

    table: Table[Preference | BadRow]
    judge: Judge
    setup: RLSetup
    num_prompts: int
    num_samples: int

    def __len__(self) -> int:
        return 1

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        del index
        rows = [good(self.table[row]) for row in range(min(self.num_prompts, len(self.table)))]
        return [
            AgainstAnswerBuilder(
                messages=tuple(row.prompt),
                model=self.setup.model,
                judge=self.judge,
                num_envs=self.num_samples,
                answer=row.answers[0],
            )
            for row in rows
        ]


@chz.chz
class PreferenceBuilder(RLDatasetBuilder):
    """Prompts of a set of preferences, and a judge of the answers to them."""

    preferences: PreferencesBuilder = chz.field(
        doc="where the prompts come from, and the answers to compare with in the test"
    )
    judge: JudgeBuilder = chz.field(doc="which of two answers is better")
    both_ways: bool = chz.field(
        default=True,
        doc="show each pair in both orders, so that a judge's bias for a place cancels; false asks half as much",
    )
    num_batches: int = chz.field(
        default=100, validator=at_least(1), doc="training batches; max_steps may take fewer"
    )
    num_test_prompts: int = chz.field(default=100, validator=at_least(1), doc="held-out prompts, at most")
    num_test_samples: int = chz.field(default=2, validator=at_least(2), doc="answers to each held-out prompt")

    def __call__(self, setup: RLSetup) -> RLDatasets:
        preferences = self.preferences("fail")
        judge = self.judge(setup)
        train = PreferenceDataset(preferences.train, judge, setup, self.num_batches, self.both_ways)
        if preferences.test is None:
            return RLDatasets(train, None)
        test = HeldOutPreferences(
            preferences.test, judge, setup, self.num_test_prompts, self.num_test_samples
        )
        return RLDatasets(train, test)
