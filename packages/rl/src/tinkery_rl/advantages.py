"""From rewards to per-token weights: small pure functions, each with its equation and source.

`rewards_P_G` is one float64 array a group, ragged: group sizes may differ. An algorithm chains one function
of each table at the end of this file: a baseline, a scale, a length normalisation (`tinkery_rl.algorithm`).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BatchFn = Callable[[Sequence[Array]], list[Array]]
LengthFn = Callable[[Sequence[NDArray[np.int64]]], list[Array]]

# Below this spread rewards count as equal; it also keeps the division by a spread finite.
EPSILON = 1e-6


def is_constant(rewards_G: Array) -> bool:
    """Whether all members of a group got the same reward, so that the group says nothing about what to prefer."""
    return float(np.ptp(rewards_G)) < EPSILON


def group_mean(rewards_P_G: Sequence[Array]) -> list[Array]:
    r"""$A_i = r_i - \frac{1}{G}\sum_j r_j$: the group's mean as baseline (GRPO, arXiv:2402.03300).

    Exactly zero for a constant group, where rounding of the mean would leave dust for a scale to blow up.
    """
    return [
        np.zeros_like(rewards_G) if is_constant(rewards_G) else rewards_G - rewards_G.mean()
        for rewards_G in rewards_P_G
    ]


def leave_one_out(rewards_P_G: Sequence[Array]) -> list[Array]:
    r"""$A_i = r_i - \frac{1}{G-1}\sum_{j \ne i} r_j$: unbiased, as no reward is in its own baseline (RLOO,
    arXiv:2402.14740).

    Equals $\frac{G}{G-1}$ times the group-mean advantage. A group of one has no others: its advantage is
    zero.
    """
    return [
        centred_G * (centred_G.size / max(centred_G.size - 1, 1)) for centred_G in group_mean(rewards_P_G)
    ]


def batch_mean(rewards_P_G: Sequence[Array]) -> list[Array]:
    r"""$A_i = r_i - \bar r$ with the mean over the whole batch: REINFORCE with a reference reward (Williams, 1992)."""
    if not rewards_P_G:
        return []
    rewards_PG = np.concatenate(list(rewards_P_G))
    if is_constant(rewards_PG):
        return [np.zeros_like(rewards_G) for rewards_G in rewards_P_G]
    return [rewards_G - rewards_PG.mean() for rewards_G in rewards_P_G]


def seat_mean(rewards_P_G: Sequence[Array]) -> list[Array]:
    r"""$A_{p,g} = r_{p,g} - \frac{1}{P}\sum_q r_{q,g}$: each seat of a game against the same seat of the batch's games.

    In a zero-sum game the mean over opposite seats of one game is zero whoever wins, so `group_mean` would
    subtract nothing and leave in what a seat is worth by itself, such as the first move. Member g of a group
    is seat g; a seat that only one group has gets advantage zero.
    """
    means_G = [
        float(np.mean([rewards_G[seat] for rewards_G in rewards_P_G if rewards_G.size > seat]))
        for seat in range(max((rewards_G.size for rewards_G in rewards_P_G), default=0))
    ]
    return [rewards_G - np.array(means_G[: rewards_G.size]) for rewards_G in rewards_P_G]


def no_baseline(rewards_P_G: Sequence[Array]) -> list[Array]:
    r"""$A_i = r_i$: the plain score-function estimator."""
    return [rewards_G.copy() for rewards_G in rewards_P_G]


def group_std(advantages_P_G: Sequence[Array]) -> list[Array]:
    r"""$A_i / (\mathrm{std}(A_1 \dots A_G) + \epsilon)$: every group pulls equally hard (GRPO, arXiv:2402.03300)."""
    return [advantages_G / (advantages_G.std() + EPSILON) for advantages_G in advantages_P_G]


def batch_std(advantages_P_G: Sequence[Array]) -> list[Array]:
    r"""$A_i / (\mathrm{std}_{\mathrm{batch}}(A) + \epsilon)$: one scale for all groups (REINFORCE++,
    arXiv:2501.03262).
    """
    if not advantages_P_G:
        return []
    spread = np.concatenate(list(advantages_P_G)).std() + EPSILON
    return [advantages_G / spread for advantages_G in advantages_P_G]


def no_scale(advantages_P_G: Sequence[Array]) -> list[Array]:
    r"""$A_i$ as it is: scaling by the group's spread favours too easy and too hard problems (Dr. GRPO,
    arXiv:2503.20783).
    """
    return list(advantages_P_G)


def per_token(lengths_P_G: Sequence[NDArray[np.int64]]) -> list[Array]:
    r"""$w_{i} = 1$: each token counts the same, so no trajectory gains by being long (Dr. GRPO, arXiv:2503.20783)."""
    return [np.ones(lengths_G.shape) for lengths_G in lengths_P_G]


def per_trajectory(lengths_P_G: Sequence[NDArray[np.int64]]) -> list[Array]:
    r"""$w_{i} = 1 / |o_i|$: each trajectory counts the same, its tokens share its weight (GRPO, arXiv:2402.03300)."""
    return [1.0 / np.maximum(lengths_G, 1) for lengths_G in lengths_P_G]


def per_batch_token(lengths_P_G: Sequence[NDArray[np.int64]]) -> list[Array]:
    r"""$w_{i} = 1 / \sum_j |o_j|$ over the batch: a mean over tokens, whatever the batch's size (DAPO,
    arXiv:2503.14476).
    """
    num_tokens = sum(int(lengths_G.sum()) for lengths_G in lengths_P_G)
    return [np.full(lengths_G.shape, 1.0 / max(num_tokens, 1)) for lengths_G in lengths_P_G]


BASELINES: dict[str, BatchFn] = {
    "group_mean": group_mean,
    "leave_one_out": leave_one_out,
    "batch_mean": batch_mean,
    "seat_mean": seat_mean,
    "none": no_baseline,
}
SCALES: dict[str, BatchFn] = {"group_std": group_std, "batch_std": batch_std, "none": no_scale}
LENGTH_NORMALISATIONS: dict[str, LengthFn] = {
    "per_token": per_token,
    "per_trajectory": per_trajectory,
    "per_batch_token": per_batch_token,
}
