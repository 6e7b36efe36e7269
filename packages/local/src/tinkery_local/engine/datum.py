"""Training examples, and how they become a few bucketed shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Datum:
    """One training sequence: `tokens` int[N] and the loss's inputs, each [N] (cross_entropy: also [N, K])."""

    tokens: NDArray[np.int32]
    inputs: Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class LossOutput:
    """Per datum the logprobs of its target tokens (float32, shape of `target_tokens`), and summed metrics.

    Metric keys end in `:sum`, so that outputs of several chunks of one batch can be added up.
    """

    logprobs: list[NDArray[np.float32]]
    metrics: dict[str, float]
