"""The losses of the Tinker API, each a sum over tokens.

In the equations p is the trainer's logprob of a target token, q the given logprob, r = exp(p - q), A the advantage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from tinkery_local.engine.errors import EngineError

Inputs = Mapping[str, jax.Array]


class Example(NamedTuple):
    """A padded batch on the device: tokens [B, T], targets [B, T, K], inputs [B, T, K], `present` among them."""

    tokens: jax.Array
    targets: jax.Array
    inputs: Inputs


@dataclass(frozen=True, eq=False)
class Loss:
    """One loss: `per_token` maps p [B, T, K] and the inputs, of the same shape, to what is summed.

    B datums, T positions, K targets a position (1 unless the loss takes several). `inputs` must come with each datum;
    `config` holds the defaults of the numbers that may come with the request or, per token, with a datum.
    """

    name: str
    per_token: Callable[[jax.Array, Inputs], jax.Array]
    inputs: tuple[str, ...] = ("logprobs", "advantages")
    config: Mapping[str, float] = field(default_factory=dict[str, float])
    several_targets: bool = False


def cross_entropy(p: jax.Array, inputs: Inputs) -> jax.Array:
    """-w p"""
    return -inputs["weights"] * p


def importance_sampling(p: jax.Array, inputs: Inputs) -> jax.Array:
    """-r A"""
    return -jnp.exp(p - inputs["logprobs"]) * inputs["advantages"]


def ppo(p: jax.Array, inputs: Inputs) -> jax.Array:
    """-min(r A, clip(r) A); Schulman et al. 2017. The clip thresholds are ratios."""
    return _clipped(jnp.exp(p - inputs["logprobs"]), inputs)


def cispo(p: jax.Array, inputs: Inputs) -> jax.Array:
    """-sg(clip(r)) p A; MiniMax 2025, arXiv 2506.13585. The clipped ratio only weights the gradient."""
    ratio = jnp.clip(
        jnp.exp(p - inputs["logprobs"]), inputs["clip_low_threshold"], inputs["clip_high_threshold"]
    )
    return -jax.lax.stop_gradient(ratio) * p * inputs["advantages"]


def dro(p: jax.Array, inputs: Inputs) -> jax.Array:
    """-(p A - beta / 2 (p - q)^2); Richemond et al. 2024, arXiv 2405.19107."""
    return -(p * inputs["advantages"] - 0.5 * inputs["beta"] * (p - inputs["logprobs"]) ** 2)


def gspo(p: jax.Array, inputs: Inputs) -> jax.Array:
    """PPO's form with one r for all the datum, exp(mean of p - q over the mask); Qwen 2025, arXiv 2507.18071."""
    mask = inputs["sequence_ratio_mask"]
    total = (mask * (p - inputs["logprobs"])).sum(axis=1, keepdims=True)
    count = mask.sum(axis=1, keepdims=True)
    return _clipped(jnp.exp(total / jnp.where(count > 0, count, 1)), inputs)


def _clipped(ratio: jax.Array, inputs: Inputs) -> jax.Array:
    clipped = jnp.clip(ratio, inputs["clip_low_threshold"], inputs["clip_high_threshold"])
    return -jnp.minimum(ratio * inputs["advantages"], clipped * inputs["advantages"])


_PPO_CLIP = {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}

LOSSES = {
    loss.name: loss
    for loss in (
        Loss("cross_entropy", cross_entropy, inputs=("weights",), several_targets=True),
        Loss("importance_sampling", importance_sampling),
        Loss("ppo", ppo, config=_PPO_CLIP),
        Loss("cispo", cispo, config={"clip_low_threshold": 0.0, "clip_high_threshold": 4.0}),
        Loss("dro", dro, config={"beta": 0.05}),
        Loss("gspo", gspo, inputs=("logprobs", "advantages", "sequence_ratio_mask"), config=_PPO_CLIP),
    )
}


def find_loss(name: str, config: Mapping[str, float]) -> Loss:
    """The loss of that name; raises `EngineError` for an unknown name or an unknown key of its config."""
    loss = LOSSES.get(name)
    if loss is None:
        raise EngineError(f"loss_fn is {name!r}, expected one of {', '.join(LOSSES)}.")
    for key in config:
        if key not in loss.config:
            known = ", ".join(loss.config) or "no keys"
            raise EngineError(f"loss_fn_config of {name} has {key!r}, expected {known}.")
    return loss
