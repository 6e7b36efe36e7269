"""Addition of two numbers below 100, the task that needs no data set. Held-out pairs are never trained on."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import chz
from tinkery_core.config.checks import at_least
from tinkery_core.errors import UserError
from tinkery_rl.envs.problem import Grade, Problem, ProblemGroupBuilder
from tinkery_rl.types import EnvGroupBuilder, RLDataset, RLDatasetBuilder, RLDatasets, RLSetup

LIMIT = 100


@chz.chz
class Addition(Problem):
    """What is a + b? The whole answer has to be the number."""

    a: int
    b: int

    @property
    def question(self) -> str:
        return f"What is {self.a} + {self.b}?"

    def grade(self, answer: str) -> Grade:
        return Grade(correct=answer == str(self.a + self.b), well_formed=answer.isdecimal())

    @property
    def tags(self) -> Sequence[str]:
        return ["carry" if self.a % 10 + self.b % 10 >= 10 else "no_carry"]


def is_held_out(a: int, b: int) -> bool:
    """Whether the pair, in this order, is for tests only: about one in ten.

    The bundled tiny model was pre-trained by the same rule, so it has never seen these pairs either.
    """
    return zlib.crc32(f"{a}+{b}".encode()) % 10 == 0


@cache
def pairs(*, held_out: bool) -> Sequence[tuple[int, int]]:
    """All pairs of numbers below LIMIT on one side of the split, in order."""
    return [(a, b) for a in range(LIMIT) for b in range(LIMIT) if is_held_out(a, b) == held_out]


@dataclass(frozen=True)
class ArithmeticDataset(RLDataset):
    """Batches of problems drawn from the training pairs; within a batch none comes twice."""

    setup: RLSetup
    num_batches: int
    format_penalty: float

    def __len__(self) -> int:
        return self.num_batches

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        dice = random.Random(f"arithmetic/{self.setup.seed}/{index}")
        drawn = dice.sample(pairs(held_out=False), self.setup.groups_per_batch)
        return [_group(a, b, self.setup, self.setup.group_size, self.format_penalty) for a, b in drawn]


@dataclass(frozen=True)
class HeldOutArithmetic(RLDataset):
    """One batch of held-out problems, the same for every seed, so that runs compare."""

    setup: RLSetup
    num_problems: int
    num_samples: int
    format_penalty: float

    def __len__(self) -> int:
        return 1

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        del index
        drawn = random.Random("arithmetic/held-out").sample(pairs(held_out=True), self.num_problems)
        return [_group(a, b, self.setup, self.num_samples, self.format_penalty) for a, b in drawn]


def _group(a: int, b: int, setup: RLSetup, num_envs: int, format_penalty: float) -> EnvGroupBuilder:
    return ProblemGroupBuilder(
        problem=Addition(a=a, b=b), model=setup.model, num_envs=num_envs, format_penalty=format_penalty
    )


@chz.chz
class ArithmeticBuilder(RLDatasetBuilder):
    """Additions to train on, and held-out additions to test on."""

    num_batches: int = chz.field(
        default=100, validator=at_least(1), doc="training batches; max_steps may take fewer"
    )
    num_test_problems: int = chz.field(
        default=100, validator=at_least(1), doc="held-out problems of an evaluation, out of about a thousand"
    )
    num_test_samples: int = chz.field(
        default=4, validator=at_least(1), doc="answers to each held-out problem"
    )
    format_penalty: float = chz.field(
        default=0.0, validator=at_least(0), doc="subtracted from the reward of an answer that is not a number"
    )

    def __call__(self, setup: RLSetup) -> RLDatasets:
        _check_enough("groups_per_batch", setup.groups_per_batch, len(pairs(held_out=False)))
        _check_enough("env.num_test_problems", self.num_test_problems, len(pairs(held_out=True)))
        return RLDatasets(
            train=ArithmeticDataset(setup, self.num_batches, self.format_penalty),
            test=HeldOutArithmetic(setup, self.num_test_problems, self.num_test_samples, self.format_penalty),
        )


def _check_enough(key: str, wanted: int, available: int) -> None:
    if wanted > available:
        raise UserError(
            f"{key}={wanted} is too many: there are {available} such additions. Try {key}={available}"
        )
