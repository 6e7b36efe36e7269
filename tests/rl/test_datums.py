"""Datums: any trajectory becomes sequences that hold each sampled token once, where it was sampled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinkery_core.completers import Completion
from tinkery_rl.datums import make_data, make_datum, penalised, reference_gap, split_sequences
from tinkery_rl.losses import GSPO, ImportanceSampling
from tinkery_rl.types import GroupReward, Observation, Trajectory, TrajectoryGroup, Transition

tokens = st.lists(st.integers(1, 500), min_size=1, max_size=6)


def turn(observed: list[int], sampled: list[int], logprobs: list[float]) -> Transition:
    return Transition(Observation(observed), Completion(sampled, logprobs, "stop"), reward=0.0, metrics={})


@st.composite
def trajectories(draw: st.DrawFn, extends: bool) -> Trajectory:
    """Episodes of up to four turns, whose observations all extend what came before, or never do."""
    transitions: list[Transition] = []
    seen: list[int] = []
    for index in range(draw(st.integers(1, 4))):
        new = draw(tokens)
        # A first token of its own makes an observation that cannot be an extension of what came before.
        observed = seen + new if extends else [1000 + index, *new]
        sampled = draw(tokens)
        logprobs = draw(st.lists(st.floats(-9, 0, width=32), min_size=len(sampled), max_size=len(sampled)))
        transitions.append(turn(observed, sampled, logprobs))
        seen = observed + sampled
    return Trajectory(transitions)


@given(trajectories(extends=True))
def test_an_episode_that_extends_its_tokens_is_one_sequence(trajectory: Trajectory) -> None:
    (sequence,) = split_sequences(trajectory)
    last = trajectory.transitions[-1]
    assert sequence.tokens_T == last.observation.tokens + last.action.tokens
    assert sequence.sampled_T.sum() == trajectory.num_action_tokens


@given(trajectories(extends=False))
def test_an_episode_that_rewrites_its_tokens_is_a_sequence_a_turn(trajectory: Trajectory) -> None:
    sequences = list(split_sequences(trajectory))
    assert [s.tokens_T for s in sequences] == [
        t.observation.tokens + t.action.tokens for t in trajectory.transitions
    ]


@given(st.booleans().flatmap(lambda extends: trajectories(extends)))
def test_sampled_tokens_keep_their_logprobs_and_observed_ones_have_none(trajectory: Trajectory) -> None:
    sampled: list[tuple[int, float]] = []
    for sequence in split_sequences(trajectory):
        assert len(sequence.tokens_T) == len(sequence.sampled_T) == len(sequence.logprobs_T)
        for token, is_sampled, logprob in zip(
            sequence.tokens_T, sequence.sampled_T, sequence.logprobs_T, strict=True
        ):
            if is_sampled:
                sampled.append((token, float(logprob)))
            else:
                assert logprob == 0
    expected = [
        pair for t in trajectory.transitions for pair in zip(t.action.tokens, t.action.logprobs, strict=True)
    ]
    assert sampled == expected


@given(trajectories(extends=True), st.floats(-5, 5, width=32))
def test_a_datum_is_shifted_by_one_token(trajectory: Trajectory, weight: float) -> None:
    (sequence,) = split_sequences(trajectory)
    datum = make_datum(sequence, weight).for_service(ImportanceSampling())
    inputs = {name: tensor.to_numpy() for name, tensor in datum.loss_fn_inputs.items()}
    assert datum.model_input.to_ints() == sequence.tokens_T[:-1]
    assert inputs["target_tokens"].tolist() == sequence.tokens_T[1:]
    assert np.array_equal(inputs["logprobs"], sequence.logprobs_T[1:])
    assert np.array_equal(inputs["advantages"], np.float32(weight) * sequence.sampled_T[1:])
    assert {name: array.dtype.name for name, array in inputs.items()} == {
        "target_tokens": "int64",
        "logprobs": "float32",
        "advantages": "float32",
    }


def test_two_turns_by_hand() -> None:
    trajectory = Trajectory([turn([1, 2], [3, 4], [-0.5, -1.0]), turn([1, 2, 3, 4, 5], [6], [-2.0])])
    (sequence,) = split_sequences(trajectory)
    datum = make_datum(sequence, 4.0, token_weight=0.5).for_service(GSPO())
    inputs = {name: tensor.tolist() for name, tensor in datum.loss_fn_inputs.items()}
    assert datum.model_input.to_ints() == [1, 2, 3, 4, 5]
    assert inputs == {
        "target_tokens": [2, 3, 4, 5, 6],
        "logprobs": [0, -0.5, -1.0, 0, -2.0],
        "advantages": [0, 2.0, 2.0, 0, 2.0],
        "sequence_ratio_mask": [0, 1, 1, 0, 1],
    }


def test_groups_become_data_in_order_with_the_weight_of_their_member() -> None:
    trajectories_G = [Trajectory([turn([1], [member], [-1.0])]) for member in (5, 6)]
    group = TrajectoryGroup(trajectories_G, [GroupReward()] * 2)
    advantages_P_G = [np.array([1.0, 2.0]), np.array([3.0, 4.0])]
    weights_P_G = [np.array([1.0, 0.5]), np.array([1.0, 0.25])]
    data_D = make_data([group, group], advantages_P_G, weights_P_G, policy_ages_P=[0, 2])
    assert [datum.advantages_T.tolist() for datum in data_D] == [[1.0], [1.0], [3.0], [1.0]]
    assert [datum.tokens_T for datum in data_D] == [[1, 5], [1, 6], [1, 5], [1, 6]]
    assert [datum.policy_age for datum in data_D] == [0, 0, 2, 2]


def test_a_penalty_weighs_like_the_reward_and_adds_up_to_nothing() -> None:
    (sequence,) = split_sequences(Trajectory([turn([1, 2], [3, 4], [-1.0, -2.0])]))
    (other,) = split_sequences(Trajectory([turn([1], [5], [-3.0])]))
    data_D = [make_datum(sequence, 1.0, token_weight=0.5), make_datum(other, 0.0)]
    reference_D = [np.array([-9.0, -2.0, -2.0], np.float32), np.array([-1.0], np.float32)]
    # The gaps q - ref of the three sampled tokens are 1, 0 and -2; their mean is -1/3.
    assert reference_gap(data_D, reference_D) == pytest.approx(-1 / 3)
    penalised_D = penalised(data_D, reference_D, coef=0.1)
    assert penalised_D[0].advantages_T == pytest.approx([0, 0.5 - 0.05 * 4 / 3, 0.5 - 0.05 / 3])
    assert penalised_D[1].advantages_T == pytest.approx([0.1 * 5 / 3])


def test_an_observation_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="an observation has no tokens: begin each prompt with at least one"):
        list(split_sequences(Trajectory([turn([], [1], [-1.0])])))
