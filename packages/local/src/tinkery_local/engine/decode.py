"""The compiled programs of sampling: fill a key-value cache with prompts, and decode a chunk of tokens.

The number of slots follows from the context's length, which follows from the request. XLA computes all rows
of one shape alike, so a sample's bits depend on nothing else in the batch.

Shape letters: S slots, C context, P prompts, T prompt positions; the others are those of `model.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tinkery_local.engine.model import (
    Params,
    attention_out,
    causal_attention,
    embed,
    mlp,
    qkv,
    rms_norm,
    rope_table,
    unembed,
)
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.typed import on_device, program

CHUNK = 8
_MOST_SLOTS = 64
_CACHE_BYTES = 2 << 30

Cache = list[tuple[jax.Array, jax.Array]]
"""Keys and values [S, K, C, d] of each layer."""


class Rows(NamedTuple):
    """What each slot is decoding; every field has a leading axis S.

    `token` stands at `position` and is the last one known. `chance` [S, CHUNK] are uniform draws from [0, 1), one
    for each token to come. `remaining` is how many tokens may follow, 0 in an empty slot. `stops` [S, n] are here
    only to end a chunk early, so they need not be all.
    """

    token: jax.Array
    position: jax.Array
    chance: jax.Array
    temperature: jax.Array
    top_k: jax.Array
    top_p: jax.Array
    stops: jax.Array
    remaining: jax.Array


class Chunk(NamedTuple):
    """Drawn tokens and their logprobs [CHUNK, S], and the k likeliest tokens [CHUNK, S, k] and theirs."""

    tokens: jax.Array
    logprobs: jax.Array
    top_tokens: jax.Array
    top_logprobs: jax.Array


_State = tuple[jax.Array, jax.Array, jax.Array, Cache, Chunk]


def num_slots(spec: ModelSpec, context: int) -> int:
    """How many rows of that context are decoded at once: a power of two, 0 if not even one fits into memory.

    More than 64 rows of a small model leave the processor's cache and are slower for it.
    """
    row = 2 * 4 * spec.num_hidden_layers * spec.num_key_value_heads * spec.head_dim * context
    return min(_MOST_SLOTS, 1 << (_CACHE_BYTES // row).bit_length() >> 1)


def empty_cache(spec: ModelSpec, slots: int, context: int) -> Cache:
    """Zeros, for sequences of up to `context` tokens."""
    shape = (slots, spec.num_key_value_heads, context, spec.head_dim)

    def zeros() -> jax.Array:
        return on_device(np.zeros(shape, np.float32))

    return [(zeros(), zeros()) for _ in range(spec.num_hidden_layers)]


@program(static=("spec",), donate=("cache",))
def prefill(
    spec: ModelSpec, params: Params, cache: Cache, tokens_PT: jax.Array, source_S: jax.Array
) -> Cache:
    """Write the keys and values of prompts into the slots that will continue them.

    `source_S` is the prompt of each slot, or -1 where the slot keeps what it holds.
    """
    P, T = tokens_PT.shape
    cos, sin = rope_table(spec, T)
    x_MD = embed(params, tokens_PT)
    fresh = (source_S >= 0)[:, None, None, None]

    def place(held: jax.Array, new_PTKd: jax.Array) -> jax.Array:
        new = new_PTKd.transpose(0, 2, 1, 3)[source_S]
        return held.at[:, :, :T].set(jnp.where(fresh, new, held[:, :, :T]))

    filled: Cache = []
    for layer, (keys, values) in enumerate(cache):
        q, k, v = qkv(spec, params, layer, x_MD, (P, T), cos, sin)
        filled.append((place(keys, k), place(values, v)))
        x_MD = mlp(spec, params, layer, attention_out(params, layer, x_MD, causal_attention(q, k, v)))
    return filled


@program(static=("spec", "truncate", "top"), donate=("cache",))
def decode(
    spec: ModelSpec,
    params: Params,
    cache: Cache,
    rows: Rows,
    min_live: jax.Array,
    truncate: bool,
    top: int,
) -> tuple[Cache, Chunk, jax.Array]:
    """Draw up to `CHUNK` tokens for every slot; the last result is the number of tokens drawn.

    Stops early when no more than `min_live` slots want another token. Slots that are done go on drawing: what
    they draw is for nobody. `truncate` compiles top-k and top-p in, `top` the logprobs of that many likeliest
    tokens.
    """
    S = len(rows.token)
    cos_C, sin_C = rope_table(spec, cache[0][0].shape[2])

    def again(state: _State) -> jax.Array:
        step, _, stopped, _, _ = state
        return (step < CHUNK) & (jnp.sum(~stopped & (step < rows.remaining)) > min_live)

    def one_token(state: _State) -> _State:
        step, token, stopped, cache, chunk = state
        position = rows.position + step
        logits, cache = _next_logits(spec, params, cache, token, position, cos_C[position], sin_C[position])
        token, logprob, logprobs = _draw(logits, rows, rows.chance[:, step], truncate)
        top_logprobs, top_tokens = jax.lax.top_k(logprobs, top)
        drawn = Chunk(token, logprob, top_tokens, top_logprobs)
        chunk = Chunk(*(old.at[step].set(new) for old, new in zip(chunk, drawn, strict=True)))
        return step + 1, token, stopped | (token[:, None] == rows.stops).any(axis=1), cache, chunk

    start = (jnp.int32(0), rows.token, rows.remaining == 0, cache, _empty_chunk(S, top))
    step, _, _, cache, chunk = jax.lax.while_loop(again, one_token, start)
    return cache, chunk, step


def _next_logits(
    spec: ModelSpec,
    params: Params,
    cache: Cache,
    token: jax.Array,
    position: jax.Array,
    cos: jax.Array,
    sin: jax.Array,
) -> tuple[jax.Array, Cache]:
    """Logits [S, V] after one more token in each slot, and the cache with that token in it."""
    S = len(token)
    slots = np.arange(S)
    x_SD = embed(params, token)
    written: Cache = []
    for layer, (keys, values) in enumerate(cache):
        q, k, v = qkv(spec, params, layer, x_SD, (S,), cos, sin)
        keys = keys.at[slots, :, position].set(k)
        values = values.at[slots, :, position].set(v)
        written.append((keys, values))
        attended = _attend(q, keys, values, position)
        x_SD = mlp(spec, params, layer, attention_out(params, layer, x_SD, attended))
    return unembed(params, rms_norm(x_SD, params["model.norm.weight"], spec.rms_norm_eps)), written


def _attend(q: jax.Array, keys: jax.Array, values: jax.Array, position: jax.Array) -> jax.Array:
    """One query for each slot, [S, K, G, d], over all positions up to its own."""
    scores = q @ keys.swapaxes(2, 3) * q.shape[-1] ** -0.5
    seen = np.arange(keys.shape[2]) <= position[:, None]
    weights = jax.nn.softmax(jnp.where(seen[:, None, None], scores, -jnp.inf))
    return (weights @ values).reshape(len(q), -1)


def _draw(
    logits: jax.Array, rows: Rows, chance: jax.Array, truncate: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The token of each slot at which the distribution function passes `chance` [S], or the likeliest.

    Returns its logprob and the logprobs of all tokens [S, V] as well.
    """
    random = rows.temperature > 0
    scaled = logits / jnp.where(random, rows.temperature, 1)[:, None]
    if truncate:
        scaled = _truncate(scaled, rows)
    logprobs = jax.nn.log_softmax(scaled)
    passed = jnp.cumsum(jnp.exp(logprobs), axis=1)
    drawn = jnp.sum(passed <= (chance * passed[:, -1])[:, None], axis=1)
    token = jnp.where(random, drawn, jnp.argmax(logits, axis=1)).astype(np.int32)
    return token, jnp.take_along_axis(logprobs, token[:, None], axis=1)[:, 0], logprobs


def _truncate(scaled: jax.Array, rows: Rows) -> jax.Array:
    """Drop all but the `top_k` likeliest, then all but the fewest of those that hold `top_p` of the mass."""
    ordered = -jnp.sort(-scaled, axis=1)
    kept = jnp.where(np.arange(scaled.shape[1]) < rows.top_k[:, None], ordered, -jnp.inf)
    mass = jax.nn.softmax(kept)
    before = jnp.cumsum(mass, axis=1) - mass
    count = jnp.sum((before < rows.top_p[:, None]) & (kept > -jnp.inf), axis=1, keepdims=True)
    least = jnp.take_along_axis(kept, jnp.maximum(count, 1) - 1, axis=1)
    return jnp.where(scaled >= least, scaled, -jnp.inf)


def _empty_chunk(slots: int, top: int) -> Chunk:
    ints, floats = np.zeros((CHUNK, slots), np.int32), np.zeros((CHUNK, slots), np.float32)
    top_ints, top_floats = (np.repeat(zeros[..., None], top, axis=2) for zeros in (ints, floats))
    return Chunk(on_device(ints), on_device(floats), on_device(top_ints), on_device(top_floats))
