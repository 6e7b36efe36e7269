"""Advantages: each function's equation on numbers, and what holds for all rewards."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinkery_rl import advantages
from tinkery_rl.advantages import BASELINES, LENGTH_NORMALISATIONS, SCALES, Array

rewards = st.floats(-10, 10, allow_nan=False)
groups = st.lists(rewards, min_size=1, max_size=8).map(lambda values: np.array(values))
batches = st.lists(groups, min_size=1, max_size=6)


def test_group_mean_by_hand() -> None:
    (a_G,) = advantages.group_mean([np.array([1.0, 0.0, 0.0, 0.0])])
    assert a_G.tolist() == [0.75, -0.25, -0.25, -0.25]


def test_leave_one_out_by_hand() -> None:
    (a_G,) = advantages.leave_one_out([np.array([1.0, 0.0, 0.5])])
    assert a_G == pytest.approx([1.0 - 0.25, 0.0 - 0.75, 0.5 - 0.5])


def test_batch_mean_by_hand() -> None:
    a_P_G = advantages.batch_mean([np.array([1.0, 1.0]), np.array([0.0, 0.0])])
    assert [a_G.tolist() for a_G in a_P_G] == [[0.5, 0.5], [-0.5, -0.5]]


def test_seat_mean_by_hand() -> None:
    """The second seat lost all games but one; what the first move is worth is subtracted from both."""
    games = [np.array([1.0, -1.0])] * 3 + [np.array([-1.0, 1.0])]
    a_P_G = advantages.seat_mean(games)
    assert [a_G.tolist() for a_G in a_P_G] == [[0.5, -0.5]] * 3 + [[-1.5, 1.5]]


def test_seats_that_only_some_games_have_are_compared_with_their_like() -> None:
    a_P_G = advantages.seat_mean([np.array([1.0, 0.0]), np.array([0.0, 0.0, 5.0])])
    assert [a_G.tolist() for a_G in a_P_G] == [[0.5, 0.0], [-0.5, 0.0, 0.0]]


def test_group_std_gives_each_group_unit_spread() -> None:
    centred_P_G = advantages.group_mean([np.array([1.0, 0.0]), np.array([10.0, -10.0])])
    assert [a_G.std() for a_G in advantages.group_std(centred_P_G)] == pytest.approx([1.0, 1.0], rel=1e-5)


def test_batch_std_keeps_the_difference_between_groups() -> None:
    mild_G, wild_G = advantages.batch_std([np.array([0.1, -0.1]), np.array([1.0, -1.0])])
    assert wild_G / mild_G == pytest.approx([10.0, 10.0])


def test_length_normalisations_by_hand() -> None:
    lengths_P_G = [np.array([1, 3]), np.array([4])]
    weights = {name: fn(lengths_P_G) for name, fn in LENGTH_NORMALISATIONS.items()}
    assert [w_G.tolist() for w_G in weights["per_token"]] == [[1, 1], [1]]
    assert [w_G.tolist() for w_G in weights["per_trajectory"]] == [[1, 1 / 3], [1 / 4]]
    assert [w_G.tolist() for w_G in weights["per_batch_token"]] == [[1 / 8, 1 / 8], [1 / 8]]


@given(rewards, st.integers(1, 64), st.sampled_from(["group_mean", "leave_one_out"]))
def test_a_constant_group_has_advantages_of_exactly_zero(reward: float, size: int, baseline: str) -> None:
    """No rounding dust is left for a scale to blow up."""
    constant = [np.full(size, reward)]
    for scale in SCALES.values():
        (a_G,) = scale(BASELINES[baseline](constant))
        assert not a_G.any()


@given(batches, rewards)
def test_baselines_do_not_see_a_shift_of_all_rewards(rewards_P_G: list[Array], shift: float) -> None:
    shifted_P_G = [rewards_G + shift for rewards_G in rewards_P_G]
    for name in ("group_mean", "leave_one_out", "batch_mean"):
        for a_G, b_G in zip(BASELINES[name](rewards_P_G), BASELINES[name](shifted_P_G), strict=True):
            assert a_G == pytest.approx(b_G, abs=1e-5)


@given(batches)
def test_baselines_centre(rewards_P_G: list[Array]) -> None:
    for name in ("group_mean", "leave_one_out"):
        for a_G in BASELINES[name](rewards_P_G):
            assert a_G.sum() == pytest.approx(0, abs=1e-9)
    assert sum(float(a_G.sum()) for a_G in advantages.batch_mean(rewards_P_G)) == pytest.approx(0, abs=1e-4)


@given(batches)
def test_every_chain_keeps_the_shape_and_stays_finite(rewards_P_G: list[Array]) -> None:
    for baseline in BASELINES.values():
        for scale in SCALES.values():
            a_P_G = scale(baseline(rewards_P_G))
            assert [a_G.shape for a_G in a_P_G] == [r_G.shape for r_G in rewards_P_G]
            assert all(math.isfinite(a) for a_G in a_P_G for a in a_G)


@given(batches)
def test_within_a_group_more_reward_is_never_less_advantage(rewards_P_G: list[Array]) -> None:
    # Not `seat_mean`, which compares a member with the same seat of other games.
    for name in ("group_mean", "leave_one_out", "batch_mean", "none"):
        for scale in SCALES.values():
            for r_G, a_G in zip(rewards_P_G, scale(BASELINES[name](rewards_P_G)), strict=True):
                order = np.argsort(r_G, kind="stable")
                assert (np.diff(a_G[order]) >= -1e-9).all()


@given(st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=5), min_size=1, max_size=5))
def test_length_normalisations_sum_as_their_names_say(lengths: list[list[int]]) -> None:
    lengths_P_G = [np.array(lengths_G) for lengths_G in lengths]
    num_trajectories = sum(len(lengths_G) for lengths_G in lengths)

    def total(name: str) -> float:
        weights_P_G = LENGTH_NORMALISATIONS[name](lengths_P_G)
        return sum(float((w_G * l_G).sum()) for w_G, l_G in zip(weights_P_G, lengths_P_G, strict=True))

    assert total("per_token") == sum(sum(lengths_G) for lengths_G in lengths)
    assert total("per_trajectory") == pytest.approx(num_trajectories)
    assert total("per_batch_token") == pytest.approx(1.0)
