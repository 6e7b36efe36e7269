"""The losses of direct preference optimisation against their definitions, and their slopes by finite differences."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinkery_supervised.dpo.losses import LOSSES, LossName, ipo, sigmoid

DIFFERENCES = st.lists(st.floats(-200, 200), min_size=1, max_size=8)
BETAS = st.floats(0.01, 5)
SMOOTHINGS = st.floats(0, 0.5)


@given(DIFFERENCES, BETAS, SMOOTHINGS, st.sampled_from(list(LOSSES)))
def test_slopes_are_those_of_the_values(
    differences: list[float], beta: float, smoothing: float, name: LossName
) -> None:
    at_D, step = np.array(differences), 1e-4
    loss = LOSSES[name]
    rise_D = loss(at_D + step, beta, smoothing).values_D - loss(at_D - step, beta, smoothing).values_D
    slopes_D = loss(at_D, beta, smoothing).slopes_D
    assert slopes_D == pytest.approx(rise_D / (2 * step), rel=1e-4, abs=1e-6 * (1 + np.abs(slopes_D).max()))


@given(st.floats(-30, 30), BETAS)
def test_the_sigmoid_loss_is_minus_the_log_of_the_probability_of_the_preference(
    difference: float, beta: float
) -> None:
    value = sigmoid(np.array([difference]), beta).values_D[0]
    assert value == pytest.approx(math.log1p(math.exp(-beta * difference)), rel=1e-9)


@given(st.floats(0.05, 0.5), BETAS)
def test_with_smoothed_labels_certainty_costs(smoothing: float, beta: float) -> None:
    """The best margin is that of the labels' own odds."""
    best = math.log((1 - smoothing) / smoothing) / beta
    assert sigmoid(np.array([best]), beta, smoothing).slopes_D[0] == pytest.approx(0, abs=1e-9)


@given(BETAS)
def test_ipo_wants_a_difference_of_half_of_one_by_beta(beta: float) -> None:
    loss = ipo(np.array([1 / (2 * beta)]), beta)
    assert (loss.values_D[0], loss.slopes_D[0]) == (pytest.approx(0), pytest.approx(0))


def test_large_margins_overflow_nothing() -> None:
    loss = sigmoid(np.array([-1e6, 1e6]), 1.0, 0.1)
    assert np.isfinite(loss.values_D).all() and loss.slopes_D == pytest.approx([-0.9, 0.1])
