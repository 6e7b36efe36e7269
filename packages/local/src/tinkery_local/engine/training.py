"""The compiled program of training: a loss and its gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tinkery_local.engine.losses import Example, Loss
from tinkery_local.engine.model import Params, hidden, unembed
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.typed import gradient, program


@program(static=("spec", "loss"))
def loss_gradient(
    spec: ModelSpec, loss: Loss, fixed: Params, adapted: Params, example: Example
) -> tuple[jax.Array, jax.Array, Params]:
    """The loss of each row [B], the logprobs of the targets [B, T, K], and the summed loss's gradient.

    The gradient is for the weights in `adapted`; with none there it is a forward pass.
    """

    def objective(weights: Params) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        logprobs = _target_logprobs(spec, {**fixed, **weights}, example.tokens, example.targets)
        losses = (loss.per_token(logprobs, example.inputs) * example.inputs["present"]).sum(axis=(1, 2))
        return losses.sum(), (losses, logprobs)

    grads, (losses, logprobs) = gradient(objective, adapted)
    return losses, logprobs, grads


def _target_logprobs(
    spec: ModelSpec, params: Params, tokens_BT: jax.Array, targets_BTK: jax.Array
) -> jax.Array:
    logits = unembed(params, hidden(spec, params, tokens_BT))
    chosen = jnp.take_along_axis(logits, targets_BTK.reshape(-1, targets_BTK.shape[2]), axis=1)
    return (chosen - jax.nn.logsumexp(logits, axis=1, keepdims=True)).reshape(targets_BTK.shape)
