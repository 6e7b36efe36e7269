"""Datasets of groups that are given one by one, such as a group for each problem of a file."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tinkery_core.errors import UserError

from tinkery_rl.types import EnvGroupBuilder, RLDataset, RLSetup


@dataclass(frozen=True)
class ShuffledGroups(RLDataset):
    """Batches to train on: all groups once, in an order drawn by the run's seed, then again in another order."""

    groups: Sequence[EnvGroupBuilder]
    setup: RLSetup
    num_batches: int

    def __post_init__(self) -> None:
        if not self.groups:
            raise UserError("env: there are no problems to train on")

    def __len__(self) -> int:
        return self.num_batches

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        size, num_groups = self.setup.groups_per_batch, len(self.groups)
        places = range(index * size, (index + 1) * size)
        return [
            self.groups[_order(self.setup.seed, place // num_groups, num_groups)[place % num_groups]]
            for place in places
        ]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, num_groups: int) -> Sequence[int]:
    return random.Random(f"{seed}/{epoch}").sample(range(num_groups), num_groups)


@dataclass(frozen=True)
class OneBatch(RLDataset):
    """All groups in one batch, in their order: for tests."""

    groups: Sequence[EnvGroupBuilder]

    def __len__(self) -> int:
        return 1

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        del index
        return self.groups
