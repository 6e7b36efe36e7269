"""Pre-training of the tiny model: Adam on the answers of a stream of conversations."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tinkery_local.engine.adam import AdamParams, Moments, adam_step
from tinkery_local.engine.model import Params, forward
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.typed import gradient, on_device, program
from tinkery_local.engine.weights import Weights, weight_shapes
from tinkery_local.tiny.batches import Batch

REPORT_EVERY = 100


@dataclass(frozen=True)
class Schedule:
    """The steps of one phase: the learning rate climbs to its peak, then falls to zero along half a cosine."""

    steps: int
    peak_rate: float
    warmup_steps: int = 50
    weight_decay: float = 0.1

    def adam(self, step: int) -> AdamParams:
        """Adam's settings at a step, counted from 0."""
        warmth = min(1.0, (step + 1) / self.warmup_steps)
        cooling = 0.5 + 0.5 * math.cos(math.pi * step / self.steps)
        rate = self.peak_rate * warmth * cooling
        return AdamParams(rate, weight_decay=self.weight_decay, grad_clip_norm=1.0)


def pretrain(
    spec: ModelSpec,
    weights: Weights,
    batches: Iterator[Batch],
    schedule: Schedule,
    report: Callable[[int, float], None],
) -> Weights:
    """Trains all weights for one phase and returns them.

    `report` is told the number of steps done and the mean loss of the last of them, in nats a token.
    """
    vector = np.concatenate([weights[name].ravel() for name in weight_shapes(spec)])
    moments = Moments(np.zeros_like(vector), np.zeros_like(vector))
    losses: list[float] = []
    batch = next(batches)
    for step in range(schedule.steps):
        arrays = (on_device(array) for array in (vector, batch.tokens, batch.targets, batch.weights))
        grad, loss = loss_gradient(spec, *arrays)
        batch = next(batches)  # drawn while the gradient is still being computed
        vector, moments, _ = adam_step(schedule.adam(step), vector, moments, np.asarray(grad))
        losses.append(float(loss))
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == schedule.steps:
            report(step + 1, float(np.mean(losses[-REPORT_EVERY:])))
    return {name: np.asarray(weight) for name, weight in split(spec, on_device(vector)).items()}


@program(static=("spec",))
def loss_gradient(
    spec: ModelSpec, vector: jax.Array, tokens: jax.Array, targets: jax.Array, weights: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The gradient of `answer_loss` by all weights, as one vector like theirs, and the loss."""

    def loss(params: Params) -> tuple[jax.Array, jax.Array]:
        nats = answer_loss(spec, params, tokens, targets, weights)
        return nats, nats

    grads, nats = gradient(loss, split(spec, vector))
    return jnp.concatenate([grads[name].ravel() for name in weight_shapes(spec)]), nats


def answer_loss(
    spec: ModelSpec, params: Params, tokens: jax.Array, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """Mean negative log-likelihood of the targets, weighted token by token."""
    logprobs = jax.nn.log_softmax(forward(spec, params, tokens))
    nll = -jnp.take_along_axis(logprobs, targets[..., None], axis=-1)[..., 0]
    return jnp.sum(nll * weights) / jnp.sum(weights)


def split(spec: ModelSpec, vector: jax.Array) -> dict[str, jax.Array]:
    """A vector of all weights as the model's tensors."""
    shapes = weight_shapes(spec)
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = jnp.split(vector, ends[:-1].tolist())
    return {name: part.reshape(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}
