"""Adam with decoupled weight decay and global-norm clipping, as the Tinker API defines it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkery_local.engine.errors import EngineError

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class AdamParams:
    """One step's hyperparameters; `grad_clip_norm` 0 means no clipping."""

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value >= 0):
                raise EngineError(f"AdamParams.{name} is {value!r}, expected a finite number, at least 0.")
        for name, beta in (("beta1", self.beta1), ("beta2", self.beta2)):
            if beta >= 1:
                raise EngineError(f"AdamParams.{name} is {beta!r}, expected less than 1.")
        if np.float32(self.eps) == 0:
            raise EngineError(
                f"AdamParams.eps is {self.eps!r}, which divides by zero where a gradient is zero."
            )


@dataclass(frozen=True)
class Moments:
    """Adam's running means of the gradient and of its square, and the number of steps taken."""

    mean: Vector
    variance: Vector
    step: int = 0


def adam_step(
    params: AdamParams, weights: Vector, moments: Moments, grads: Vector
) -> tuple[Vector, Moments, float]:
    """One step over a vector of weights: new weights, new moments, the gradient's norm before clipping.

    `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`, and with both corrected for their start at zero
    `w -= lr (m / (sqrt(v) + eps) + decay w)`; Kingma & Ba 2015, Loshchilov & Hutter 2019.
    """
    norm = float(np.sqrt(np.sum(np.square(grads, dtype=np.float64))))
    if 0 < params.grad_clip_norm < norm:
        grads = _float32(grads * (params.grad_clip_norm / norm))
    step = moments.step + 1
    mean = _float32(params.beta1 * moments.mean + (1 - params.beta1) * grads)
    variance = _float32(params.beta2 * moments.variance + (1 - params.beta2) * grads**2)
    root = np.sqrt(variance / (1 - params.beta2**step))
    direction = mean / (1 - params.beta1**step) / (root + params.eps)
    change = params.learning_rate * (direction + params.weight_decay * weights)
    return _float32(weights - change), Moments(mean, variance, step), norm


def _float32(values: NDArray[np.floating]) -> Vector:
    """What Python's numbers leave float32 at run time, they do not for the type checker."""
    return values.astype(np.float32, copy=False)
