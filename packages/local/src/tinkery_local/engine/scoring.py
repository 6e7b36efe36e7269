"""Logprobs of prompts, as the model gives them before any temperature or truncation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from tinkery_local.engine.model import Params, forward
from tinkery_local.engine.sampling import TopkLogprobs, likeliest
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.typed import on_device, program

_TOKENS_AT_ONCE = 512


@dataclass(frozen=True)
class Scores:
    """Of one prompt of n tokens: logprobs float32 [n], the first of them NaN, and the likeliest tokens [n, k]."""

    logprobs: NDArray[np.float32]
    topk: TopkLogprobs


def scores_at_once(length: int) -> int:
    """How many prompts of that bucket one call of `score` takes."""
    return max(1, _TOKENS_AT_ONCE // length)


def score(
    spec: ModelSpec, params: Params, length: int, prompts: Sequence[tuple[int, ...]], top: int
) -> list[Scores]:
    """Score prompts of at most `length` tokens, which is a bucket."""
    tokens = np.zeros((scores_at_once(length), length), np.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = prompt
    logprobs, top_tokens, top_logprobs = _score(spec, params, on_device(tokens), top)
    rows = zip(prompts, np.asarray(logprobs), np.asarray(top_tokens), np.asarray(top_logprobs), strict=False)
    return [
        Scores(row_logprobs[:n], likeliest(row_tokens[:n], row_top[:n]))
        for n, row_logprobs, row_tokens, row_top in ((len(prompt), *row) for prompt, *row in rows)
    ]


@program(static=("spec", "top"))
def _score(
    spec: ModelSpec, params: Params, tokens_BT: jax.Array, top: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    logprobs = jax.nn.log_softmax(forward(spec, params, tokens_BT)[:, :-1])
    chosen = jnp.take_along_axis(logprobs, tokens_BT[:, 1:, None], axis=2)[..., 0]
    top_logprobs, top_tokens = jax.lax.top_k(logprobs, top)
    return _after_first(chosen, np.nan), _after_first(top_tokens, 0), _after_first(top_logprobs, -np.inf)


def _after_first(values: jax.Array, first: float) -> jax.Array:
    """Shift by one position: nothing comes before the first token, so it has no distribution."""
    column = np.full((values.shape[0], 1, *values.shape[2:]), first, values.dtype)
    return jnp.concatenate([column, values], axis=1)
