"""Metrics by hand: what is averaged over what, and that nobody's tag leaks into another's."""

from math import exp

import numpy as np
import pytest
from tinkery_core.completers import Completion
from tinkery_rl.datums import make_datum, split_sequences
from tinkery_rl.metrics import policy_metrics, rollout_metrics
from tinkery_rl.types import GroupReward, Observation, Trajectory, TrajectoryGroup, Transition


def episode(*rewards: float, truncated: bool = False) -> Trajectory:
    """One turn a reward: two observed tokens, three sampled ones."""
    action = Completion([1, 2, 3], [-1.0, -2.0, -3.0], "length" if truncated else "stop")
    return Trajectory(
        [Transition(Observation([7, 8]), action, r, {"correct": float(r > 0)}) for r in rewards]
    )


def group(*trajectories: Trajectory, tags: tuple[str, ...] = (), bonus: float = 0.0) -> TrajectoryGroup:
    group_rewards_G = [GroupReward(bonus, {"bonus": bonus} if bonus else {})] * len(trajectories)
    return TrajectoryGroup(trajectories, group_rewards_G, tags)


def test_rollout_metrics_by_hand() -> None:
    metrics = rollout_metrics(
        [group(episode(1.0), episode(0.0), bonus=0.5), group(episode(0.0, 0.0), episode(0.0, truncated=True))]
    )
    assert metrics == pytest.approx(
        {
            "env/all/reward/total": (1.5 + 0.5 + 0.0 + 0.0) / 4,
            "env/all/correct": 1 / 5,
            "env/all/bonus": 0.5,
            "env/all/turns_per_episode": 5 / 4,
            "env/all/ac_tokens_per_turn": 3.0,
            "env/all/ob_tokens_per_turn": 2.0,
            "env/all/frac_truncated": 1 / 4,
            "env/all/frac_cut": 0.0,
            "env/all/total_episodes": 4.0,
            "env/all/total_turns": 5.0,
            "env/all/total_ac_tokens": 15.0,
            "env/all/by_group/frac_mixed": 0.5,
            "env/all/by_group/frac_all_good": 0.0,
            "env/all/by_group/frac_all_bad": 0.5,
        }
    )


def test_tags_average_over_their_own_groups_only() -> None:
    metrics = rollout_metrics(
        [
            group(episode(1.0), episode(1.0), tags=("easy",)),
            group(episode(0.0), episode(1.0), tags=("hard",)),
            group(episode(0.0), episode(0.0), tags=("hard", "odd")),
        ]
    )
    assert metrics["env/all/reward/total"] == pytest.approx(0.5)
    assert metrics["env/easy/reward/total"] == 1.0
    assert metrics["env/hard/reward/total"] == 0.25
    assert metrics["env/odd/reward/total"] == 0.0
    assert metrics["env/easy/by_group/frac_all_good"] == 1.0
    assert metrics["env/hard/by_group/frac_mixed"] == 0.5


def test_policy_metrics_count_sampled_tokens_only() -> None:
    (sequence,) = split_sequences(episode(1.0))
    made = make_datum(sequence, 1.0)
    trainer_logprobs = np.array([-100.0, -1.5, -2.0, -3.25], dtype=np.float32)
    assert policy_metrics([made], [trainer_logprobs]) == pytest.approx(
        {
            "optim/kl_sample_train": (0.5 + 0.0 + 0.25) / 3,
            "optim/kl_sample_train_k3": (exp(-0.5) - 0.5 + 0.0 + exp(-0.25) - 0.75) / 3,
            "optim/entropy": 2.0,
        }
    )
