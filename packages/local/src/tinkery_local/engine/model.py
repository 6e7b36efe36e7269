"""The decoder as pure functions of its weights: RMSNorm, RoPE, grouped-query attention, SwiGLU.

Weights are a flat dict under their Hugging Face names and in their Hugging Face layout ([out, in]), so a
checkpoint needs no translation. Shape letters: B rows, T positions, M = B * T, D width, K key-value heads,
G query heads for each of them, d head width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.typed import on_device

Params: TypeAlias = Mapping[str, jax.Array]

EMBED = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


def forward(spec: ModelSpec, params: Params, tokens_BT: jax.Array) -> jax.Array:
    """Logits [B, T, V] after each of the tokens; rows may be padded at their end with any token."""
    B, T = tokens_BT.shape
    return unembed(params, hidden(spec, params, tokens_BT)).reshape(B, T, -1)


def hidden(spec: ModelSpec, params: Params, tokens_BT: jax.Array) -> jax.Array:
    """The last layer's normed output [B * T, D]."""
    B, T = tokens_BT.shape
    x_MD = embed(params, tokens_BT)
    cos_T, sin_T = rope_table(spec, T)
    for layer in range(spec.num_hidden_layers):
        q, k, v = qkv(spec, params, layer, x_MD, (B, T), cos_T, sin_T)
        attended = causal_attention(q, k, v)
        x_MD = mlp(spec, params, layer, attention_out(params, layer, x_MD, attended))
    return rms_norm(x_MD, params["model.norm.weight"], spec.rms_norm_eps)


def embed(params: Params, tokens: jax.Array) -> jax.Array:
    """Token embeddings [M, D]; M is the number of tokens, whatever their shape."""
    return params[EMBED][tokens.reshape(-1)]


def unembed(params: Params, x_MD: jax.Array) -> jax.Array:
    """Logits [M, V]; a model with tied embeddings has no head of its own."""
    return linear(x_MD, params[HEAD] if HEAD in params else params[EMBED])


def qkv(
    spec: ModelSpec,
    params: Params,
    layer: int,
    x_MD: jax.Array,
    rows: tuple[int, ...],
    cos: jax.Array,
    sin: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One layer's queries [*rows, K, G, d], keys and values [*rows, K, d], with their positions turned in.

    `rows` is what M stands for, such as (B, T); `cos` and `sin` [..., d / 2] are broadcast to it.
    """
    name = f"model.layers.{layer}."
    K, d = spec.num_key_value_heads, spec.head_dim
    G = spec.num_attention_heads // K
    x_MD = rms_norm(x_MD, params[name + "input_layernorm.weight"], spec.rms_norm_eps)

    def project(which: str) -> jax.Array:
        out = linear(x_MD, params[f"{name}self_attn.{which}_proj.weight"])
        return out + params[f"{name}self_attn.{which}_proj.bias"] if spec.qkv_bias else out

    q = project("q").reshape(*rows, K, G, d)
    k = project("k").reshape(*rows, K, d)
    v = project("v").reshape(*rows, K, d)
    if spec.qk_norm:
        q = rms_norm(q, params[name + "self_attn.q_norm.weight"], spec.rms_norm_eps)
        k = rms_norm(k, params[name + "self_attn.k_norm.weight"], spec.rms_norm_eps)
    q = rotate(q, cos[..., None, None, :], sin[..., None, None, :])
    return q, rotate(k, cos[..., None, :], sin[..., None, :]), v


def causal_attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Each position attends to itself and those before it: q [B, T, K, G, d] to [B * T, K * G * d]."""
    B, T, K, G, d = q.shape
    q = q.transpose(0, 2, 3, 1, 4).reshape(B, K, G * T, d)
    scores = q @ k.transpose(0, 2, 3, 1) * d**-0.5
    causal = np.tile(np.tril(np.ones((T, T), bool)), (G, 1))
    weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
    attended = (weights @ v.transpose(0, 2, 1, 3)).reshape(B, K, G, T, d)
    return attended.transpose(0, 3, 1, 2, 4).reshape(B * T, -1)


def attention_out(params: Params, layer: int, x_MD: jax.Array, attended: jax.Array) -> jax.Array:
    """Add what a layer attended to, [M, K * G * d], to the residual stream."""
    return x_MD + linear(attended, params[f"model.layers.{layer}.self_attn.o_proj.weight"])


def mlp(spec: ModelSpec, params: Params, layer: int, x_MD: jax.Array) -> jax.Array:
    """The residual stream after one layer's SwiGLU block."""
    name = f"model.layers.{layer}."
    h = rms_norm(x_MD, params[name + "post_attention_layernorm.weight"], spec.rms_norm_eps)
    gate = jax.nn.silu(linear(h, params[name + "mlp.gate_proj.weight"]))
    up = linear(h, params[name + "mlp.up_proj.weight"])
    return x_MD + linear(gate * up, params[name + "mlp.down_proj.weight"])


def linear(x_MD: jax.Array, w_FD: jax.Array) -> jax.Array:
    """`x W^T`, two-dimensional: XLA's CPU backend is twice as slow on the gradient of the batched form."""
    return x_MD @ w_FD.T


def rms_norm(x: jax.Array, weight: jax.Array, eps: float) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def rotate(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """RoPE on the last axis; its first half is paired with its second, as Hugging Face has it."""
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def rope_table(spec: ModelSpec, length: int) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines [length, d / 2] of positions 0, 1, …; a constant of the compiled program."""
    angles = np.arange(length)[:, None] * _rope_frequencies(spec)
    return on_device(np.cos(angles).astype(np.float32)), on_device(np.sin(angles).astype(np.float32))


def _rope_frequencies(spec: ModelSpec) -> NDArray[np.float64]:
    frequencies = spec.rope_theta ** -(np.arange(0, spec.head_dim, 2) / spec.head_dim)
    scaling = spec.rope_scaling
    if scaling is None:
        return frequencies
    turns = scaling.original_max_position_embeddings * frequencies / (2 * np.pi)
    span = scaling.high_freq_factor - scaling.low_freq_factor
    keep = np.clip((turns - scaling.low_freq_factor) / span, 0, 1)
    return frequencies * (keep + (1 - keep) / scaling.factor)
