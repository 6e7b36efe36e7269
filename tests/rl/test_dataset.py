"""Datasets of given groups: each comes as often as the others, in orders that the seed draws."""

from collections import Counter
from collections.abc import Sequence

import chz
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig
from tinkery_rl.dataset import OneBatch, ShuffledGroups
from tinkery_rl.types import Env, EnvGroupBuilder, RLSetup


@chz.chz
class Numbered(EnvGroupBuilder):
    number: int

    async def make_envs(self) -> Sequence[Env]:
        return []


def numbers(groups: Sequence[EnvGroupBuilder]) -> list[int]:
    return [group.number for group in groups if isinstance(group, Numbered)]


def batches(num_groups: int, size: int, num_batches: int, seed: int = 0) -> list[list[int]]:
    setup = RLSetup(ModelConfig(name="tinkery/tiny"), groups_per_batch=size, group_size=1, seed=seed)
    dataset = ShuffledGroups([Numbered(number=n) for n in range(num_groups)], setup, num_batches)
    return [numbers(dataset.get_batch(index)) for index in range(len(dataset))]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 3))
def test_each_time_through_has_each_group_once(num_groups: int, size: int, seed: int) -> None:
    drawn = [
        number for batch in batches(num_groups, size, num_batches=num_groups, seed=seed) for number in batch
    ]
    for start in range(0, len(drawn), num_groups):
        assert Counter(drawn[start : start + num_groups]) == Counter(range(num_groups))


def test_the_order_follows_from_the_seed_and_changes_from_time_to_time() -> None:
    (first, second), again, other = batches(50, 50, 2), batches(50, 50, 2), batches(50, 50, 2, seed=1)
    assert [first, second] == again
    assert first != second
    assert first != other[0]


def test_a_test_set_is_one_batch() -> None:
    dataset = OneBatch([Numbered(number=n) for n in range(3)])
    assert len(dataset) == 1
    assert numbers(dataset.get_batch(0)) == [0, 1, 2]


def test_no_problems_are_a_message() -> None:
    with pytest.raises(UserError, match="env: there are no problems to train on"):
        batches(0, 1, 1)
