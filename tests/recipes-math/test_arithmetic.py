"""The arithmetic task: its text, its grades, and a split that never leaks."""

import pickle
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig
from tinkery_recipes_math.arithmetic import Addition, ArithmeticBuilder, is_held_out, pairs
from tinkery_rl.envs.problem import Grade, ProblemGroupBuilder
from tinkery_rl.types import EnvGroupBuilder, RLDataset, RLSetup

numbers = st.integers(0, 99)


def setup(seed: int = 0, groups_per_batch: int = 16) -> RLSetup:
    return RLSetup(ModelConfig(name="tinkery/tiny"), groups_per_batch, group_size=4, seed=seed)


def additions(dataset: RLDataset, index: int) -> list[tuple[int, int]]:
    return [operands(builder) for builder in dataset.get_batch(index)]


def operands(builder: EnvGroupBuilder) -> tuple[int, int]:
    assert isinstance(builder, ProblemGroupBuilder) and isinstance(builder.problem, Addition)
    return builder.problem.a, builder.problem.b


@given(numbers, numbers)
def test_question_and_grade(a: int, b: int) -> None:
    problem = Addition(a=a, b=b)
    assert problem.question == f"What is {a} + {b}?"
    assert problem.grade(str(a + b)) == Grade(correct=True, well_formed=True)
    assert problem.grade(str(a + b + 1)) == Grade(correct=False, well_formed=True)
    assert problem.grade(f"The answer is {a + b}") == Grade(correct=False, well_formed=False)
    assert problem.grade("") == Grade(correct=False, well_formed=False)


def test_the_split_is_the_one_that_the_tiny_model_was_pre_trained_by() -> None:
    assert is_held_out(3, 4) == (zlib.crc32(b"3+4") % 10 == 0)
    held_out, train = set(pairs(held_out=True)), set(pairs(held_out=False))
    assert not held_out & train
    assert len(held_out | train) == 100 * 100
    assert 900 < len(held_out) < 1100


@given(st.integers(0, 99), st.integers(0, 5))
def test_no_training_batch_holds_a_held_out_pair_or_a_pair_twice(index: int, seed: int) -> None:
    batch = additions(ArithmeticBuilder()(setup(seed)).train, index)
    assert len(set(batch)) == len(batch) == 16
    assert not any(is_held_out(a, b) for a, b in batch)


def test_a_batch_is_a_function_of_its_index_and_the_seed() -> None:
    train, again = ArithmeticBuilder()(setup()).train, ArithmeticBuilder()(setup()).train
    other_seed = ArithmeticBuilder()(setup(seed=1)).train
    assert additions(train, 5) == additions(again, 5)
    assert additions(train, 5) != additions(train, 6)
    assert additions(train, 5) != additions(other_seed, 5)
    assert len(train) == 100


def test_the_test_set_is_held_out_and_the_same_for_all_seeds() -> None:
    tests = [ArithmeticBuilder()(setup(seed)).test for seed in (0, 1)]
    assert tests[0] is not None and tests[1] is not None
    assert additions(tests[0], 0) == additions(tests[1], 0)
    assert len(additions(tests[0], 0)) == 100
    assert all(is_held_out(a, b) for a, b in additions(tests[0], 0))


def test_groups_pickle_and_are_tagged_by_what_makes_them_hard() -> None:
    (builder,) = ArithmeticBuilder()(setup(groups_per_batch=1)).train.get_batch(0)
    assert operands(pickle.loads(pickle.dumps(builder))) == operands(builder)
    assert Addition(a=5, b=5).tags == ["carry"]
    assert Addition(a=5, b=4).tags == ["no_carry"]


def test_more_problems_than_there_are_is_a_message() -> None:
    with pytest.raises(
        UserError, match=r"^env.num_test_problems=5000 is too many: there are \d+ such additions. "
    ):
        ArithmeticBuilder(num_test_problems=5000)(setup())
