"""What one asks of a sampler, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinkery_local.engine.adapter import Snapshot
from tinkery_local.engine.errors import EngineError
from tinkery_local.engine.spec import ModelSpec

NO_LOGPROB = -99999.0
_MOST_LIKELIEST = 128

StopReason = Literal["stop", "length"]


@dataclass(frozen=True)
class SampleRequest:
    """`num_samples` completions of one prompt by one snapshot.

    `seed` None draws a fresh one. `stop_tokens` None means the model's end-of-sequence tokens, and an empty
    tuple that no token stops; `stop_strings` stop in addition. `max_tokens` None means as many as the
    context holds. `temperature` 0 is greedy; `top_k` -1 and `top_p` 1 are off.
    """

    snapshot: Snapshot
    prompt: NDArray[np.int32]
    num_samples: int = 1
    max_tokens: int | None = None
    temperature: float = 1.0
    top_k: int = -1
    top_p: float = 1.0
    seed: int | None = None
    stop_tokens: tuple[int, ...] | None = None
    stop_strings: tuple[str, ...] = ()
    prompt_logprobs: bool = False
    topk_prompt_logprobs: int = 0
    topk_sample_logprobs: int = 0


@dataclass(frozen=True)
class TopkLogprobs:
    """The k likeliest tokens at each position, likeliest first: both arrays are [length, k].

    A position without a distribution (the first prompt token) and a place with no token left after
    truncation hold token 0 and logprob -99999.0.
    """

    token_ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]


@dataclass(frozen=True)
class SampledSequence:
    """One completion: tokens int32[n] with the stop token included, and their logprobs float32[n].

    A logprob is that with which the token was drawn: of the distribution after temperature, top-k and top-p, so that an
    importance ratio against it is right at any temperature. Greedy tokens carry that of the plain distribution.
    """

    tokens: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    stop_reason: StopReason
    topk: TopkLogprobs | None


@dataclass(frozen=True)
class SampleResult:
    """The answer to one request; `prompt_logprobs` is float32[len(prompt)] and starts with NaN."""

    sequences: list[SampledSequence]
    prompt_logprobs: NDArray[np.float32] | None
    topk_prompt_logprobs: TopkLogprobs | None


@dataclass(frozen=True)
class Finished:
    """A request that is done: its ticket, and its result or the error that the user should read."""

    ticket: int
    outcome: SampleResult | Exception


def likeliest(token_ids: NDArray[np.int32], logprobs: NDArray[np.float32]) -> TopkLogprobs:
    """Both arrays [length, k], with the places marked that no token is left for."""
    gone = ~np.isfinite(logprobs)
    return TopkLogprobs(
        np.where(gone, 0, token_ids).astype(np.int32), np.where(gone, NO_LOGPROB, logprobs).astype(np.float32)
    )


def check_request(spec: ModelSpec, request: SampleRequest) -> int:
    """How many tokens to draw at most; raises `EngineError` naming what is wrong with the request."""
    prompt = request.prompt
    if prompt.ndim != 1 or len(prompt) == 0:
        raise EngineError("the prompt is empty, expected at least one token.")
    if prompt.min() < 0 or prompt.max() >= spec.vocab_size:
        wrong = prompt[(prompt < 0) | (prompt >= spec.vocab_size)][0]
        raise EngineError(f"the prompt holds token {wrong}, expected 0 to {spec.vocab_size - 1}.")
    k_prompt, k_sample = request.topk_prompt_logprobs, request.topk_sample_logprobs
    most = min(_MOST_LIKELIEST, spec.vocab_size)
    wanted = (
        ("num_samples", request.num_samples, request.num_samples >= 1, "at least 1"),
        (
            "max_tokens",
            request.max_tokens,
            request.max_tokens is None or request.max_tokens >= 1,
            "at least 1",
        ),
        ("temperature", request.temperature, 0 <= request.temperature < float("inf"), "at least 0"),
        ("top_p", request.top_p, 0 < request.top_p <= 1, "more than 0, at most 1"),
        ("top_k", request.top_k, request.top_k == -1 or request.top_k >= 1, "at least 1, or -1 for no limit"),
        ("topk_prompt_logprobs", k_prompt, 0 <= k_prompt <= most, f"0 to {most}"),
        ("topk_sample_logprobs", k_sample, 0 <= k_sample <= most, f"0 to {most}"),
    )
    for name, value, holds, expected in wanted:
        if not holds:
            raise EngineError(f"{name} is {value}, expected {expected}.")
    if "" in request.stop_strings:
        raise EngineError("an empty stop string would stop everywhere.")
    return _limit(spec, request)


def _limit(spec: ModelSpec, request: SampleRequest) -> int:
    context, length = spec.max_position_embeddings, len(request.prompt)
    if length >= context:
        raise EngineError(
            f"the prompt has {length} tokens, the model's context only {context}, and one must be left to sample."
        )
    limit = context - length if request.max_tokens is None else request.max_tokens
    if length + limit > context:
        raise EngineError(
            f"max_tokens is {limit}, but after a prompt of {length} tokens the model's context has room for "
            f"{context - length}."
        )
    return limit
