"""Each YAML of this package is composed, resolved, built, and its algorithm run for a step."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

import numpy as np
import pytest
from tinkery_core.completers import Completion
from tinkery_core.config.compose import compose
from tinkery_core.config.loader import make_loader
from tinkery_core.config.resolve import resolve
from tinkery_core.errors import UserError
from tinkery_rl.algorithm import Algorithm, DynamicSampling
from tinkery_rl.config import RLConfig
from tinkery_rl.losses import GSPO, PPO, ImportanceSampling
from tinkery_rl.reference import KLPenalty
from tinkery_rl.types import GroupReward, Observation, Trajectory, TrajectoryGroup, Transition

Lines = list[dict[str, float]]
Train = Callable[[RLConfig], Awaitable[Lines]]
Configure = Callable[..., RLConfig]


def options(group: str) -> list[str]:
    folder = files("tinkery_rl.conf").joinpath(group)
    return sorted(path.name.removesuffix(".yaml") for path in folder.iterdir() if path.name.endswith(".yaml"))


def resolved(*overrides: str) -> RLConfig:
    loader = make_loader("tinkery_recipes_math.conf", None)
    return resolve(RLConfig, compose(loader, "train_math", "train-math", list(overrides)))


def group(*rewards: float) -> TrajectoryGroup:
    """One turn each, of as many tokens as the member's place in the group says."""
    trajectories_G = [
        Trajectory([Transition(Observation([1]), Completion([2] * n, [-1.0] * n, "stop"), reward, {})])
        for n, reward in enumerate(rewards, start=1)
    ]
    return TrajectoryGroup(trajectories_G, [GroupReward()] * len(rewards))


def weights(algorithm: Algorithm) -> list[float]:
    """Advantages times token weights of two groups, whose members have 1, 2, 1 and 2 tokens."""
    groups_P = [group(1.0, 0.0), group(0.0, 0.0)]
    weights_PG = np.concatenate(algorithm.token_weights(groups_P))
    return (np.concatenate(algorithm.advantages(groups_P)) * weights_PG).round(5).tolist()


@pytest.mark.parametrize(
    ("name", "loss", "expected"),
    [
        ("cispo", "cispo", [1 / 6, -1 / 6, 0, 0]),
        ("dr_grpo", "importance_sampling", [0.5, -0.5, 0, 0]),
        ("dro", "dro", [0.5, -0.5, 0, 0]),
        ("grpo", "importance_sampling", [1, -0.5, 0, 0]),
        ("gspo", "gspo", [1, -0.5, 0, 0]),
        ("ppo", "ppo", [1, -0.5, 0, 0]),
        ("reinforce", "importance_sampling", [0.75, -0.25, -0.25, -0.25]),
        ("rloo", "importance_sampling", [1, -1, 0, 0]),
    ],
)
def test_each_algorithm_weighs_tokens_as_its_paper_says(name: str, loss: str, expected: list[float]) -> None:
    config = resolved(f"algorithm={name}")
    assert config.loss.name == loss
    assert weights(config.algorithm) == pytest.approx(expected, abs=1e-4)


def test_the_table_above_names_each_algorithm_that_is_shipped() -> None:
    assert options("algorithm") == ["cispo", "dr_grpo", "dro", "grpo", "gspo", "ppo", "reinforce", "rloo"]


@pytest.mark.parametrize("name", options("mode"))
def test_each_mode_resolves(name: str) -> None:
    assert callable(resolved(f"mode={name}").mode)


@pytest.mark.parametrize("name", ["cispo", "dro", "gspo", "ppo"])
async def test_the_service_takes_each_loss_with_its_settings(
    name: str, configure: Configure, trained: Train
) -> None:
    lines = await trained(configure(algorithm=resolved(f"algorithm={name}").algorithm, max_steps=1))
    assert lines[0]["optim/num_tokens"] > 0
    assert np.isfinite(lines[0]["optim/loss"])


def test_a_setting_of_a_loss_is_set_alone() -> None:
    loss = resolved("algorithm=ppo", "algorithm.loss.clip_high_threshold=1.28").loss
    assert loss == PPO(clip_high_threshold=1.28)
    assert loss.settings() == {"clip_low_threshold": 0.8, "clip_high_threshold": 1.28}


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo", "reinforce"])
def test_where_the_policy_that_samples_is_not_the_one_that_trains_the_loss_is_clipped(name: str) -> None:
    """Unbounded importance sampling is for those who ask for it."""
    assert isinstance(resolved(f"algorithm={name}", "mode=on_policy").loss, ImportanceSampling)
    assert resolved(f"algorithm={name}", "mode=off_policy").loss == PPO()
    assert resolved(f"algorithm={name}", "num_substeps=2").loss == PPO()
    asked = resolved(
        f"algorithm={name}", "mode=off_policy", "algorithm.loss._target_=tinkery_rl.losses.ImportanceSampling"
    )
    assert isinstance(asked.loss, ImportanceSampling)


def test_parts_of_an_algorithm_are_switched_on_by_their_first_key() -> None:
    algorithm = resolved(
        "algorithm.kl_penalty.coef=0.1", "algorithm.dynamic_sampling.max_batches=4"
    ).algorithm
    assert algorithm.kl_penalty == KLPenalty(coef=0.1)
    assert algorithm.dynamic_sampling == DynamicSampling(max_batches=4)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["num_substeps=17"],
            "num_substeps=17 is more than groups_per_batch=16, and each optimizer step needs",
        ),
        (["group_size=1"], "group_size=1 leaves algorithm.baseline=group_mean nothing to compare with"),
        (["algorithm.baseline=none"], "scale=group_std divides by the spread around a group's mean"),
        (
            ["algorithm=ppo", "algorithm.loss.clip_high_threshold=0.2"],
            "clip thresholds must satisfy 0 ≤ low < high",
        ),
        (["algorithm=dro", "algorithm.loss.beta=0"], "algorithm.loss.beta=0"),
        (
            ["mode=streamed", "algorithm=cispo"],
            "mode=streamed trains on a minibatch before the rest of its batch is known, and "
            "algorithm.length_normalisation=per_batch_token needs the whole batch",
        ),
        (["mode=streamed", "algorithm=reinforce"], "algorithm.baseline=batch_mean needs the whole batch"),
        (["mode=streamed", "num_substeps=2"], "mode=streamed takes one optimizer step a batch"),
        (
            ["mode=streamed", "mode.num_minibatches=17"],
            "mode.num_minibatches=17 is more than groups_per_batch=16",
        ),
        (["mode=off_policy", "mode.max_steps_off_policy=0"], "mode.max_steps_off_policy=0"),
        (
            ["algorithm=reinforce", "algorithm.dynamic_sampling.max_batches=2"],
            "with baseline=batch_mean groups with one reward teach too: choose baseline=group_mean",
        ),
        (["algorithm.baseline=seat_mean"], "baseline=seat_mean doesn't subtract that mean"),
        (["max_steps=5", "optimizer.warmup_steps=5"], "optimizer.warmup_steps=5 leaves none of max_steps=5"),
        (["rollouts.min_alive=1.5"], "rollouts.min_alive is a share of a group, at most 1, got 1.5"),
        (["algorithm.baseline=group_median"], "algorithm.baseline=group_median"),
        (["optimizer.schedule=step"], "optimizer.schedule=step"),
        (["learning_rate=0"], "learning_rate=0"),
    ],
)
def test_what_makes_no_sense_fails_when_the_config_is_built(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        resolved(*overrides)
    assert message in str(raised.value)


def test_only_losses_by_sequence_ask_for_a_mask() -> None:
    assert GSPO().needs_sequence_mask
    assert not PPO().needs_sequence_mask
