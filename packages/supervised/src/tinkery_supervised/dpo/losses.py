r"""The losses of direct preference optimisation, with their derivatives, all in numpy.

With $y^+$ the chosen and $y^-$ the rejected answer to $x$, $\pi$ the policy and $\pi_0$ the frozen reference, all of
them are functions of the difference of log-ratios of a pair,

$$\Delta = \log\frac{\pi(y^+|x)}{\pi_0(y^+|x)} - \log\frac{\pi(y^-|x)}{\pi_0(y^-|x)}$$

whose log-probabilities are sums over the tokens of an answer. So the derivative by each token's log-probability is
$\partial L / \partial \Delta$ in the chosen answer and its negative in the rejected one, and a cross-entropy with
minus these as weights has the gradient of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

LossName: TypeAlias = Literal["sigmoid", "ipo"]


@dataclass(frozen=True)
class PairLoss:
    """The loss of each pair, and its slope: the derivative by the pair's difference of log-ratios."""

    values_D: Floats
    slopes_D: Floats


def sigmoid(differences_D: Floats, beta: float, label_smoothing: float = 0.0) -> PairLoss:
    r"""$L = -(1 - \epsilon) \log\sigma(\beta\Delta) - \epsilon \log\sigma(-\beta\Delta)$.

    DPO (Rafailov et al. 2023, arXiv:2305.18290, eq. 7); with $\epsilon > 0$, the share of labels that is held to be
    wrong, conservative DPO (Mitchell 2023).
    """
    import numpy as np

    margins_D = beta * differences_D
    right_D, wrong_D = np.logaddexp(0, -margins_D), np.logaddexp(0, margins_D)  # -log sigma of either sign
    slopes_D = beta * (label_smoothing - np.exp(-wrong_D))
    return PairLoss((1 - label_smoothing) * right_D + label_smoothing * wrong_D, slopes_D)


def ipo(differences_D: Floats, beta: float, label_smoothing: float = 0.0) -> PairLoss:
    r"""$L = (\Delta - 1 / 2\beta)^2$: the difference is to be so large and no larger.

    IPO (Azar et al. 2023, arXiv:2310.12036, eq. 17). There is nothing to smooth.
    """
    del label_smoothing
    errors_D = differences_D - 1 / (2 * beta)
    return PairLoss(errors_D**2, 2 * errors_D)


LOSSES: Mapping[LossName, Callable[[Floats, float, float], PairLoss]] = {"sigmoid": sigmoid, "ipo": ipo}
