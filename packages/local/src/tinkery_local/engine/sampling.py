"""What one asks of a sampler, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinkery_local.engine.adapter import Snapshot

NO_LOGPROB = -99999.0

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
