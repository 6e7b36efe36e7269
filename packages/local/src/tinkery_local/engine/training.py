"""The compiled programs of training: a loss, and its gradient for the adapter."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tinkery_local.engine.lora import LoraSpec, merge, pack, unpack
from tinkery_local.engine.losses import Example, Loss
from tinkery_local.engine.model import Params, hidden, unembed
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.typed import gradient, program


@program(static=("spec", "lora"))
def merged(spec: ModelSpec, lora: LoraSpec, base: Params, weights: jax.Array) -> dict[str, jax.Array]:
    """The whole model's weights with an adapter's vector added in."""
    return merge(spec, lora, base, unpack(spec, lora, weights))


@program(static=("spec", "loss"))
def loss_forward(
    spec: ModelSpec, loss: Loss, params: Params, example: Example
) -> tuple[jax.Array, jax.Array]:
    """The loss of each row [B], and the logprobs of the targets [B, T, K]."""
    return _losses(spec, loss, params, example)


@program(static=("spec", "lora", "loss"))
def loss_gradient(
    spec: ModelSpec, lora: LoraSpec, loss: Loss, base: Params, weights: jax.Array, example: Example
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What `loss_forward` returns, and the gradient of the summed loss as a vector."""

    def objective(matrices: dict[str, jax.Array]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        losses, logprobs = _losses(spec, loss, merge(spec, lora, base, matrices), example)
        return losses.sum(), (losses, logprobs)

    matrices = unpack(spec, lora, weights)
    grads, (losses, logprobs) = gradient(objective, matrices)
    return losses, logprobs, pack({name: grads[name] for name in matrices})


def _losses(spec: ModelSpec, loss: Loss, params: Params, example: Example) -> tuple[jax.Array, jax.Array]:
    tokens, targets, inputs = example
    logits = unembed(params, hidden(spec, params, tokens))
    chosen = jnp.take_along_axis(logits, targets.reshape(-1, targets.shape[2]), axis=1)
    logprobs = (chosen - jax.nn.logsumexp(logits, axis=1, keepdims=True)).reshape(targets.shape)
    return (loss.per_token(logprobs, inputs) * inputs["present"]).sum(axis=(1, 2)), logprobs
