"""What a step reports: pure functions from rollouts and from an update to named numbers.

Rollout metrics are taken over all groups of a batch, before any is left out of training, so that what is
trained on never shifts what is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinkery_rl.advantages import is_constant
from tinkery_rl.datums import reference_gap

if TYPE_CHECKING:
    from tinkery_rl.datums import Floats, TrainingDatum
    from tinkery_rl.types import GroupResult, Trajectory, TrajectoryGroup


def rollout_metrics(groups_P: Sequence[TrajectoryGroup]) -> dict[str, float]:
    """`env/all/…` over all groups and `env/<tag>/…` over the groups with that tag."""
    tags = sorted({tag for group in groups_P for tag in group.tags} - {"all"})
    metrics = _with_prefix("env/all/", _group_metrics(groups_P))
    for tag in tags:
        metrics |= _with_prefix(
            f"env/{tag}/", _group_metrics([group for group in groups_P if tag in group.tags])
        )
    return metrics


def _with_prefix(prefix: str, metrics: dict[str, float]) -> dict[str, float]:
    return {prefix + name: value for name, value in metrics.items()}


def _group_metrics(groups_P: Sequence[TrajectoryGroup]) -> dict[str, float]:
    trajectories_PG = [trajectory for group in groups_P for trajectory in group.trajectories_G]
    rewards_PG = [reward for group in groups_P for reward in group.rewards_G]
    num_turns = sum(len(trajectory.transitions) for trajectory in trajectories_PG)
    num_sampled = sum(trajectory.num_action_tokens for trajectory in trajectories_PG)
    return {
        **_env_means(groups_P, trajectories_PG),
        "reward/total": float(np.mean(rewards_PG)),
        "turns_per_episode": num_turns / len(trajectories_PG),
        "ac_tokens_per_turn": num_sampled / num_turns,
        "ob_tokens_per_turn": _num_observed(trajectories_PG) / num_turns,
        "frac_truncated": _num_truncated(trajectories_PG) / len(trajectories_PG),
        "frac_cut": sum(trajectory.cut is not None for trajectory in trajectories_PG) / len(trajectories_PG),
        "total_episodes": float(len(trajectories_PG)),
        "total_turns": float(num_turns),
        "total_ac_tokens": float(num_sampled),
        **_with_prefix("by_group/", _by_group(groups_P)),
    }


def _env_means(
    groups_P: Sequence[TrajectoryGroup], trajectories_PG: Sequence[Trajectory]
) -> dict[str, float]:
    """The mean of each metric that envs and groups report, over the turns and members that report it."""
    reports = [transition.metrics for trajectory in trajectories_PG for transition in trajectory.transitions]
    reports += [group_reward.metrics for group in groups_P for group_reward in group.group_rewards_G]
    values: dict[str, list[float]] = {}
    for report in reports:
        for name, value in report.items():
            values.setdefault(name, []).append(value)
    return {name: float(np.mean(values[name])) for name in sorted(values)}


def _num_observed(trajectories: Iterable[Trajectory]) -> int:
    return sum(len(t.observation.tokens) for trajectory in trajectories for t in trajectory.transitions)


def _num_truncated(trajectories: Iterable[Trajectory]) -> int:
    """How many episodes had an action that ran into the token limit."""
    return sum(
        any(t.action.stop_reason == "length" for t in trajectory.transitions) for trajectory in trajectories
    )


def _by_group(groups_P: Sequence[TrajectoryGroup]) -> dict[str, float]:
    """The shares of groups with different rewards, with one positive reward, and with one other reward."""
    rewards_P_G = [np.array(group.rewards_G) for group in groups_P]
    mixed_P = [not is_constant(rewards_G) for rewards_G in rewards_P_G]
    positive_P = [rewards_G.mean() > 0 for rewards_G in rewards_P_G]
    num_good = sum(good and not mixed for good, mixed in zip(positive_P, mixed_P, strict=True))
    return {
        "frac_mixed": sum(mixed_P) / len(mixed_P),
        "frac_all_good": num_good / len(mixed_P),
        "frac_all_bad": (len(mixed_P) - sum(mixed_P) - num_good) / len(mixed_P),
    }


def update_metrics(
    data_D: Sequence[TrainingDatum],
    logprobs_D: Sequence[Floats],
    reference_logprobs_D: Sequence[Floats],
    loss_sum: float,
    reports: Sequence[Mapping[str, float]],
) -> dict[str, float]:
    """What a step's update reports: its size, its loss a token, the divergence of policies, the data's age.

    `reports` is what the service says of each optimizer step; those are averaged under their own names.
    """
    num_tokens = sum(int(datum.sampled_T.sum()) for datum in data_D)
    metrics = {"optim/num_datums": float(len(data_D)), "optim/num_tokens": float(num_tokens)}
    if not data_D:
        return metrics
    metrics["optim/loss"] = loss_sum / num_tokens
    metrics |= policy_metrics(data_D, logprobs_D)
    if reference_logprobs_D:
        metrics["optim/kl_reference"] = reference_gap(data_D, reference_logprobs_D)
    ages_D = [datum.policy_age for datum in data_D]
    metrics |= {
        "train/policy_age/mean": float(np.mean(ages_D)),
        "train/policy_age/max": float(max(ages_D)),
        "train/policy_age/min": float(min(ages_D)),
    }
    names = sorted(set(reports[0]).intersection(*reports)) if reports else []
    return metrics | {f"optim/{name}": float(np.mean([report[name] for report in reports])) for name in names}


def policy_metrics(data_D: Sequence[TrainingDatum], trainer_logprobs_D: Sequence[Floats]) -> dict[str, float]:
    r"""How far trainer and sampler are apart, over the sampled tokens of the data.

    With $q_t$ the sampler's and $p_t$ the trainer's log-probability of the sampled token, two estimates of
    $\mathrm{KL}(q \| p)$ (joschu.net/blog/kl-approx.html): `kl_sample_train` is the mean of $q_t - p_t$ (k1),
    unbiased; `kl_sample_train_k3` that of $e^{p_t - q_t} - 1 - (p_t - q_t)$ (k3), never negative, so that no
    difference cancels another. `entropy` is the mean of $-q_t$.
    """
    sampled = np.concatenate([datum.sampled_T for datum in data_D]) > 0
    sampler_logprobs = np.concatenate([datum.logprobs_T for datum in data_D])[sampled].astype(np.float64)
    trainer_logprobs = np.concatenate(list(trainer_logprobs_D))[sampled].astype(np.float64)
    log_ratios = trainer_logprobs - sampler_logprobs
    return {
        "optim/kl_sample_train": float(np.mean(-log_ratios)),
        "optim/kl_sample_train_k3": float(np.mean(np.expm1(log_ratios) - log_ratios)),
        "optim/entropy": float(np.mean(-sampler_logprobs)),
    }


def failure_metrics(results: Sequence[GroupResult]) -> dict[str, float]:
    """What went wrong in rollouts and what it cost. The members of a group left out are not counted one by one."""
    return {
        "rollouts/num_failures": float(sum(result.num_failures for result in results)),
        "rollouts/num_retries": float(sum(result.num_retries for result in results)),
        "rollouts/num_members_left_out": float(sum(result.num_members_left_out for result in results)),
        "rollouts/num_groups_left_out": float(sum(result.group is None for result in results)),
    }
