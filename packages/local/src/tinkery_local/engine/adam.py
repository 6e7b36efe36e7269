"""Adam with decoupled weight decay and global-norm clipping, as the Tinker API defines it."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tinkery_local.engine.errors import EngineError
from tinkery_local.engine.typed import on_device, program


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


@dataclass(frozen=True)
class Moments:
    """Adam's running means of the gradient and of its square, and the number of steps taken."""

    mean: jax.Array
    variance: jax.Array
    step: int = 0


def adam_step(
    params: AdamParams, weights: jax.Array, moments: Moments, grads: jax.Array
) -> tuple[jax.Array, Moments, float]:
    """One step over a vector of weights: the new weights and moments, and the gradient's norm before clipping.

    `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`, and with both corrected for their start at zero
    `w -= lr (m / (sqrt(v) + eps) + decay w)`; Kingma & Ba 2015, Loshchilov & Hutter 2019.
    Raises `EngineError` if the gradient is not finite.
    """
    step = moments.step + 1
    corrections = (1 - params.beta1**step, 1 - params.beta2**step)
    numbers = on_device(np.array([*astuple(params), *corrections], np.float32))
    weights, mean, variance, norm = _update(weights, moments.mean, moments.variance, grads, numbers)
    if not np.isfinite(norm):
        raise EngineError(
            "the gradient is not finite and was dropped; lower the learning rate or the advantages."
        )
    return weights, Moments(mean, variance, step), float(norm)


@program()
def _update(
    weights: jax.Array, mean: jax.Array, variance: jax.Array, grads: jax.Array, numbers: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    rate, beta1, beta2, eps, decay, clip, mean_correction, variance_correction = numbers
    norm = jnp.sqrt(jnp.sum(grads * grads))
    grads = grads * jnp.where((clip > 0) & (norm > clip), clip / norm, 1.0)
    mean = beta1 * mean + (1 - beta1) * grads
    variance = beta2 * variance + (1 - beta2) * grads * grads
    direction = (mean / mean_correction) / (jnp.sqrt(variance / variance_correction) + eps)
    return weights - rate * (direction + decay * weights), mean, variance, norm
