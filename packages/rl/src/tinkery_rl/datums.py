"""From trajectories to training data: one datum per trajectory, however many turns it has.

A trajectory whose next observation extends the tokens before it is one sequence: observation tokens, sampled
tokens, observation tokens, … . Where an observation does not extend them (its env rewrote the history), a new
sequence begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
    """One sequence as it is trained on. Position `t` of an array is about predicting token `t + 1`.

    `sampled_T` is 1 at sampled tokens, `logprobs_T` is the sampler's, `advantages_T` what multiplies the
    gradient of each token, `token_weight` the part of it that comes from the normalisation of lengths, and
    `policy_age` the number of steps by which the policy that sampled is older than the one that trains.
    """

    tokens_T: list[int]
    sampled_T: Floats
    logprobs_T: Floats
    advantages_T: Floats
    token_weight: float
    policy_age: int = 0

    def for_service(self, loss: Loss) -> tinker.Datum:
        """The datum with the inputs that the loss asks for."""
        inputs = {"logprobs": self.logprobs_T, "advantages": self.advantages_T}
        if loss.needs_sequence_mask:
            inputs["sequence_ratio_mask"] = self.sampled_T
        return self._with_inputs(inputs)

    def for_logprobs(self) -> tinker.Datum:
        """The datum for a forward pass that is asked for log-probabilities only."""
        return self._with_inputs({"weights": self.sampled_T})

    def _with_inputs(self, inputs: dict[str, Floats]) -> tinker.Datum:
        import tinker

        targets = tinker.TensorData.from_numpy(np.array(self.tokens_T[1:], dtype=np.int64))
        tensors = {name: tinker.TensorData.from_numpy(array) for name, array in inputs.items()}
        return tinker.Datum(
            model_input=tinker.ModelInput.from_ints(self.tokens_T[:-1]),
            loss_fn_inputs={"target_tokens": targets, **tensors},
        )


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


def make_datum(
    sequence: TokenSequence, advantage: float, token_weight: float = 1.0, policy_age: int = 0
) -> TrainingDatum:
    """The datum of one sequence: each sampled token weighs `advantage * token_weight`, observed ones nothing."""
    sampled_T = sequence.sampled_T[1:]
    return TrainingDatum(
        tokens_T=sequence.tokens_T,
        sampled_T=sampled_T,
        logprobs_T=sequence.logprobs_T[1:],
        advantages_T=sampled_T * np.float32(advantage * token_weight),
        token_weight=token_weight,
        policy_age=policy_age,
    )


def make_data(
    groups_P: Sequence[TrajectoryGroup],
    advantages_P_G: Sequence[NDArray[np.float64]],
    token_weights_P_G: Sequence[NDArray[np.float64]],
    policy_ages_P: Sequence[int],
) -> list[TrainingDatum]:
    """The data of whole groups, in the order of groups, members and sequences."""
    return [
        make_datum(sequence, float(advantage), float(weight), age)
        for group, advantages_G, weights_G, age in zip(
            groups_P, advantages_P_G, token_weights_P_G, policy_ages_P, strict=True
        )
        for trajectory, advantage, weight in zip(group.trajectories_G, advantages_G, weights_G, strict=True)
        for sequence in split_sequences(trajectory)
        if sequence.sampled_T.any()
    ]


def penalised(
    data_D: Sequence[TrainingDatum], reference_logprobs_D: Sequence[Floats], coef: float
) -> list[TrainingDatum]:
    r"""The data with a penalty for leaving a reference policy, in the advantages of their sampled tokens.

    With $d_t = q_t - \pi^{ref}_t$, the sampler's log-probability less the reference's, and $\bar d$ its mean
    over all sampled tokens: $A_t \leftarrow A_t - \beta w (d_t - \bar d)$. The mean is a baseline and biases
    nothing; $w$ is the token's weight, so that reward and penalty are normalised alike.
    """
    gaps_D = [
        datum.logprobs_T - logprobs_T for datum, logprobs_T in zip(data_D, reference_logprobs_D, strict=True)
    ]
    mean = reference_gap(data_D, reference_logprobs_D)
    return [
        replace(
            datum,
            advantages_T=datum.advantages_T
            - np.float32(coef * datum.token_weight) * datum.sampled_T * (gap_T - np.float32(mean)),
        )
        for datum, gap_T in zip(data_D, gaps_D, strict=True)
    ]


def with_observed_logprobs(
    data_D: Sequence[TrainingDatum], logprobs_D: Sequence[Floats]
) -> list[TrainingDatum]:
    """The data with these log-probabilities at observed tokens, and the sampler's at sampled ones as before."""
    return [
        replace(datum, logprobs_T=np.where(datum.sampled_T > 0, datum.logprobs_T, logprobs_T))
        for datum, logprobs_T in zip(data_D, logprobs_D, strict=True)
    ]


def reference_gap(data_D: Sequence[TrainingDatum], reference_logprobs_D: Sequence[Floats]) -> float:
    """Mean over sampled tokens of the sampler's log-probability less the reference's: estimates their divergence."""
    total = sum(
        float(np.dot(datum.sampled_T, datum.logprobs_T - logprobs_T))
        for datum, logprobs_T in zip(data_D, reference_logprobs_D, strict=True)
    )
    return total / max(sum(float(datum.sampled_T.sum()) for datum in data_D), 1.0)
