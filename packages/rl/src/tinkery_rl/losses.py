"""The policy losses that the service computes, as configuration objects.

Notation: $p_t$ is the trainer's log-probability of the sampled token $t$, $q_t$ the sampler's, $r_t = e^{p_t
- q_t}$ their ratio, $A_t$ the token's advantage. Every loss is a sum over the tokens of all datums.
Thresholds bound the ratio itself: 0.8 and 1.2, not 0.2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import chz
from tinkery_core.config.checks import more_than

if TYPE_CHECKING:
    from tinker.types import LossFnType


@chz.chz
class Loss(ABC):
    """A loss function by the service's name, with its settings."""

    @property
    @abstractmethod
    def name(self) -> LossFnType:
        """The service's name of the loss (`loss_fn`)."""

    def settings(self) -> dict[str, float]:
        """The service's settings of the loss (`loss_fn_config`)."""
        return {}

    @property
    def needs_sequence_mask(self) -> bool:
        """Whether each datum must say which of its tokens were sampled (`sequence_ratio_mask`)."""
        return False

    @property
    def needs_observed_logprobs(self) -> bool:
        """Whether tokens without advantage count too, so that observed ones need a log-probability to be told of."""
        return False


@chz.chz
class ImportanceSampling(Loss):
    r"""$-\sum_t r_t A_t$: the policy gradient, exact where sampler and trainer are one policy; unbounded elsewhere."""

    @property
    def name(self) -> LossFnType:
        return "importance_sampling"


@chz.chz
class ClippedLoss(Loss):
    """What the losses with a bounded ratio share."""

    clip_low_threshold: float = chz.field(default=0.8, doc="lower bound of the ratio")
    clip_high_threshold: float = chz.field(default=1.2, doc="upper bound of the ratio; 1.28 is 'clip-higher'")

    @chz.validate
    def _bounds_are_ordered(self) -> None:
        if not 0 <= self.clip_low_threshold < self.clip_high_threshold:
            raise ValueError(
                f"clip thresholds must satisfy 0 ≤ low < high, got low={self.clip_low_threshold}, "
                f"high={self.clip_high_threshold}. They bound the ratio: 0.8 and 1.2, not 0.2"
            )

    def settings(self) -> dict[str, float]:
        return {
            "clip_low_threshold": self.clip_low_threshold,
            "clip_high_threshold": self.clip_high_threshold,
        }


@chz.chz
class PPO(ClippedLoss):
    r"""$-\sum_t \min(r_t A_t, \mathrm{clip}(r_t) A_t)$ (arXiv:1707.06347); clip-higher is DAPO's (arXiv:2503.14476)."""

    @property
    def name(self) -> LossFnType:
        return "ppo"


@chz.chz
class CISPO(ClippedLoss):
    r"""$-\sum_t \mathrm{sg}(\mathrm{clip}(r_t))\, p_t A_t$: clips the weight, not the gradient (arXiv:2506.13585)."""

    clip_low_threshold: float = chz.field(default=0.0, doc="lower bound of the ratio")
    clip_high_threshold: float = chz.field(default=4.0, doc="upper bound of the ratio")

    @property
    def name(self) -> LossFnType:
        return "cispo"


@chz.chz
class GSPO(ClippedLoss):
    r"""PPO's form with one ratio a sequence, $s = \exp(\mathrm{mean}_t(p_t - q_t))$, so far tighter bounds
    (arXiv:2507.18071).
    """

    clip_low_threshold: float = chz.field(default=1 - 3e-4, doc="lower bound of the sequence's ratio")
    clip_high_threshold: float = chz.field(default=1 + 4e-4, doc="upper bound of the sequence's ratio")

    @property
    def name(self) -> LossFnType:
        return "gspo"

    @property
    def needs_sequence_mask(self) -> bool:
        return True


@chz.chz
class DRO(Loss):
    r"""$-\sum_t (p_t A_t - \frac{\beta}{2} (p_t - q_t)^2)$: a quadratic pull in place of a bound (arXiv:2405.19107).

    The service pulls at every token, also at observed ones, which nobody sampled. There $q_t$ is the trainer's own
    log-probability, from a forward pass before each update, so that the pull is nil and its gradient too.
    """

    beta: float = chz.field(
        default=0.05, validator=more_than(0), doc="strength of the pull towards the sampler's policy"
    )

    @property
    def name(self) -> LossFnType:
        return "dro"

    def settings(self) -> dict[str, float]:
        return {"beta": self.beta}

    @property
    def needs_observed_logprobs(self) -> bool:
        return True
