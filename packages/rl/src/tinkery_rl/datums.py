"""From trajectories to training data: one datum per trajectory, however many turns it has.

A trajectory whose next observation extends the tokens before it is one sequence: observation tokens, sampled
tokens, observation tokens, … . Where an observation does not extend them (its env rewrote the history), a new
sequence begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tinker

    from tinkery_rl.losses import Loss
    from tinkery_rl.types import Trajectory, TrajectoryGroup

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TokenSequence:
    """What the policy read and wrote in a row, with the sampler's log-probability of each token that it wrote.

    `sampled_T` is 1 at sampled tokens and 0 at observed ones, where `logprobs_T` is 0 too.
    """

    tokens_T: list[int]
    sampled_T: Floats
    logprobs_T: Floats


@dataclass(frozen=True)
class TrainingDatum:
    """A datum for the service with the two arrays that its metrics need, aligned with its targets.

    Position `t` predicts token `t + 1` of the sequence: each array is one shorter than the sequence.
    """

    datum: tinker.Datum
    sampled_T: Floats
    logprobs_T: Floats


def split_sequences(trajectory: Trajectory) -> Iterator[TokenSequence]:
    """The trajectory's maximal token sequences, in order: one, if every observation extends what came before.

    Raises ValueError for an observation without tokens, from which no first action could be predicted.
    """
    tokens_T: list[int] = []
    sampled_T: list[float] = []
    logprobs_T: list[float] = []
    for transition in trajectory.transitions:
        observed, action = transition.observation.tokens, transition.action
        if not observed:
            raise ValueError("an observation has no tokens: begin each prompt with at least one")
        if observed[: len(tokens_T)] != tokens_T:
            yield _sequence(tokens_T, sampled_T, logprobs_T)
            tokens_T, sampled_T, logprobs_T = [], [], []
        num_new = len(observed) - len(tokens_T)
        tokens_T = observed + action.tokens
        sampled_T += [0.0] * num_new + [1.0] * len(action.tokens)
        logprobs_T += [0.0] * num_new + action.logprobs
    yield _sequence(tokens_T, sampled_T, logprobs_T)


def _sequence(tokens_T: list[int], sampled_T: list[float], logprobs_T: list[float]) -> TokenSequence:
    return TokenSequence(
        tokens_T, np.array(sampled_T, dtype=np.float32), np.array(logprobs_T, dtype=np.float32)
    )


def make_datum(sequence: TokenSequence, weight: float, loss: Loss) -> TrainingDatum:
    """The datum of one sequence; `weight` is the advantage of each of its sampled tokens, observed ones have 0."""
    import tinker

    sampled_T, logprobs_T = sequence.sampled_T[1:], sequence.logprobs_T[1:]
    inputs = {
        "target_tokens": np.array(sequence.tokens_T[1:], dtype=np.int64),
        "logprobs": logprobs_T,
        "advantages": sampled_T * np.float32(weight),
    }
    if loss.needs_sequence_mask:
        inputs["sequence_ratio_mask"] = sampled_T
    datum = tinker.Datum(
        model_input=tinker.ModelInput.from_ints(sequence.tokens_T[:-1]),
        loss_fn_inputs={name: tinker.TensorData.from_numpy(array) for name, array in inputs.items()},
    )
    return TrainingDatum(datum, sampled_T, logprobs_T)


def make_data(
    groups_P: Sequence[TrajectoryGroup], weights_P_G: Sequence[NDArray[np.float64]], loss: Loss
) -> list[TrainingDatum]:
    """The data of whole groups, in the order of groups, members and sequences."""
    return [
        make_datum(sequence, float(weight), loss)
        for group, weights_G in zip(groups_P, weights_P_G, strict=True)
        for trajectory, weight in zip(group.trajectories_G, weights_G, strict=True)
        for sequence in split_sequences(trajectory)
        if sequence.sampled_T.any()
    ]
