"""Evaluation on other environments than those that the run trains on."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import chz
import pytest
from tinkery_core.errors import UserError
from tinkery_core.evaluators import EvaluationError
from tinkery_recipes_math.arithmetic import ArithmeticBuilder
from tinkery_rl.config import RLConfig
from tinkery_rl.env_evaluator import EnvEvaluator
from tinkery_rl.types import Env, EnvGroupBuilder, RLDataset, RLDatasetBuilder, RLDatasets, RLSetup

Train = Callable[[RLConfig], Awaitable[list[dict[str, float]]]]
Configure = Callable[..., RLConfig]

FEW = ArithmeticBuilder(num_test_problems=6, num_test_samples=2)


@chz.chz
class WithoutTests(RLDatasetBuilder):
    """Additions to train on, and none held out."""

    def __call__(self, setup: RLSetup) -> RLDatasets:
        return replace(FEW(setup), test=None)


@chz.chz
class NoEnvs(EnvGroupBuilder):
    async def make_envs(self) -> Sequence[Env]:
        raise OSError("no game server")


class Broken(RLDataset):
    def __len__(self) -> int:
        return 1

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        del index
        return [NoEnvs()]


@chz.chz
class BrokenBuilder(RLDatasetBuilder):
    def __call__(self, setup: RLSetup) -> RLDatasets:
        del setup
        return RLDatasets(train=Broken(), test=None)


async def test_reported_beside_the_runs_own_evaluation(configure: Configure, trained: Train) -> None:
    evaluators = {
        "greedy": EnvEvaluator(env=FEW, num_groups=4, temperature=0.0),
        "same": EnvEvaluator(env=FEW),
        "trained_on": EnvEvaluator(env=WithoutTests(), num_groups=5, group_size=3),
        "cut": EnvEvaluator(env=FEW, max_tokens=1),
    }
    lines = await trained(configure(env=FEW, evaluators=evaluators, max_steps=1))
    for line in lines:
        assert line["test/same/env/all/reward/total"] == line["test/env/all/reward/total"]
        assert line["test/cut/env/all/reward/total"] == 0.0
        assert line["test/greedy/env/all/by_group/frac_mixed"] == 0.0
        assert 0 <= line["test/trained_on/env/all/reward/total"] <= 1


@pytest.mark.parametrize(
    ("env", "kind", "message"),
    [
        (
            ArithmeticBuilder(num_test_problems=100_000),
            UserError,
            "evaluators.hard: env.num_test_problems=100000 is too many",
        ),
        (
            BrokenBuilder(),
            EvaluationError,
            "evaluators.hard failed: RolloutError: test/hard, group 0: NoEnvs.",
        ),
    ],
)
async def test_a_failing_one_ends_the_run_by_name(
    env: RLDatasetBuilder, kind: type[Exception], message: str, configure: Configure, trained: Train
) -> None:
    with pytest.raises(kind) as error:
        await trained(configure(evaluators={"hard": EnvEvaluator(env=env)}))
    assert str(error.value).startswith(message)
