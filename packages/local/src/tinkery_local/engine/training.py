"""The compiled programs of training: a loss, and its gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tinkery_local.engine.losses import Example, Loss
from tinkery_local.engine.model import Params, hidden, unembed
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.typed import gradient, program


@program(static=("spec", "loss"))
def loss_forward(
    spec: ModelSpec, loss: Loss, params: Params, example: Example
) -> tuple[jax.Array, jax.Array]:
    """The loss of each row [B], and the logprobs of the targets [B, T, K]."""
    return _losses(spec, loss, params, example)


@program(static=("spec", "loss"))
def loss_gradient(
    spec: ModelSpec, loss: Loss, fixed: Params, adapted: Params, example: Example
) -> tuple[jax.Array, jax.Array, Params]:
    """What `loss_forward` returns, and the gradient of the summed loss for the adapted weights."""

    def objective(weights: Params) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        losses, logprobs = _losses(spec, loss, {**fixed, **weights}, example)
        return losses.sum(), (losses, logprobs)

    grads, (losses, logprobs) = gradient(objective, adapted)
    return losses, logprobs, grads


def _losses(spec: ModelSpec, loss: Loss, params: Params, example: Example) -> tuple[jax.Array, jax.Array]:
    tokens, targets, inputs = example
    logits = unembed(params, hidden(spec, params, tokens))
    chosen = jnp.take_along_axis(logits, targets.reshape(-1, targets.shape[2]), axis=1)
    logprobs = (chosen - jax.nn.logsumexp(logits, axis=1, keepdims=True)).reshape(targets.shape)
    return (loss.per_token(logprobs, inputs) * inputs["present"]).sum(axis=(1, 2)), logprobs
