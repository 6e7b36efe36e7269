"""Pre-training of the tiny model: AdamW on the answers of a stream of conversations."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tinkery_local.engine.model import Params, forward
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.weights import Weights
from tinkery_local.tiny.batches import Batch

REPORT_EVERY = 100
WARMUP_STEPS = 50
MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Schedule:
    """Steps of one phase; the learning rate warms up to its peak and falls to zero along a cosine."""

    steps: int
    peak_learning_rate: float
    weight_decay: float = 0.1

    def optimizer(self) -> optax.GradientTransformation:
        rate = optax.warmup_cosine_decay_schedule(0.0, self.peak_learning_rate, WARMUP_STEPS, self.steps)
        adamw = optax.adamw(rate, b1=0.9, b2=0.95, weight_decay=self.weight_decay)
        return optax.chain(optax.clip_by_global_norm(MAX_GRADIENT_NORM), adamw)


def pretrain(
    spec: ModelSpec,
    weights: Weights,
    stream: Iterable[Batch],
    schedule: Schedule,
    report: Callable[[int, float], None],
) -> Weights:
    """Trains all weights for one phase and returns them.

    `report` is given the number of steps done and the mean loss of the last `REPORT_EVERY` of them, in nats a token.
    """
    optimizer = schedule.optimizer()
    params: Params = {name: jnp.asarray(weight) for name, weight in weights.items()}
    state = optimizer.init(params)
    recent: list[jax.Array] = []
    for step, batch in zip(range(1, schedule.steps + 1), stream, strict=False):
        params, state, loss = update(
            spec, optimizer.update, params, state, batch.tokens, batch.targets, batch.weights
        )
        recent.append(loss)
        if step % REPORT_EVERY == 0 or step == schedule.steps:
            report(step, float(np.mean(recent)))
            recent.clear()
    return {name: np.asarray(param) for name, param in params.items()}


@partial(jax.jit, static_argnames=("spec", "descend"), donate_argnames=("params", "state"))
def update(
    spec: ModelSpec,
    descend: optax.TransformUpdateFn,
    params: Params,
    state: optax.OptState,
    tokens: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
) -> tuple[Params, optax.OptState, jax.Array]:
    """One step of gradient descent on a batch: the new weights, the new optimizer state, the loss before it."""
    loss, gradient = jax.value_and_grad(answer_loss, argnums=1)(spec, params, tokens, targets, weights)
    updates, state = descend(gradient, state, params)
    return optax.apply_updates(params, updates), state, loss


def answer_loss(
    spec: ModelSpec, params: Params, tokens: jax.Array, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """Mean negative log-likelihood of the targets, weighted token by token."""
    logprobs = jax.nn.log_softmax(forward(spec, params, tokens))
    nll = -jnp.take_along_axis(logprobs, targets[..., None], axis=-1)[..., 0]
    return jnp.sum(nll * weights) / jnp.sum(weights)
