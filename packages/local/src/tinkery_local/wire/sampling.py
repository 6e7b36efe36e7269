"""Sampling on the wire: a JSON request → what the engine is asked; its result → protobuf."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tinkery_local.engine import SampleRequest, SampleResult, Snapshot, TopkLogprobs
from tinkery_local.errors import RequestError
from tinkery_local.wire import tinkery_wire_pb2 as pb
from tinkery_local.wire.fields import Fields

MAX_SAMPLES = 4096
NO_LOGPROB = -99999.0


@dataclass(frozen=True)
class SampleCall:
    """One asample: what to ask the engine, once it is known of which weights, and how to word the answer."""

    num_samples: int
    bind: Callable[[Snapshot], SampleRequest]
    encode: Callable[[SampleResult], bytes]


def decode(fields: Fields) -> SampleCall:
    """Read the request; RequestError says which field does not fit, or what this server can't do."""
    _refuse_unsupported(fields)
    num_samples = fields.maybe_integer("num_samples")
    num_samples = 1 if num_samples is None else num_samples
    if not 1 <= num_samples <= MAX_SAMPLES:
        raise RequestError(422, f"num_samples: expected 1 to {MAX_SAMPLES}, got {num_samples}")
    params = fields.child("sampling_params")
    stop_tokens, stop_strings = _stops(params)
    bind = partial(
        SampleRequest,
        prompt=_prompt(fields),
        num_samples=num_samples,
        max_tokens=params.maybe_integer("max_tokens"),
        temperature=params.number("temperature", 1.0),
        top_k=params.integer("top_k") if params.has("top_k") else -1,
        top_p=params.number("top_p", 1.0),
        seed=params.maybe_integer("seed"),
        stop_tokens=stop_tokens,
        stop_strings=stop_strings,
        prompt_logprobs=fields.flag("prompt_logprobs", False),
        topk_prompt_logprobs=fields.maybe_integer("topk_prompt_logprobs") or 0,
        topk_sample_logprobs=fields.maybe_integer("topk_sample_logprobs") or 0,
    )
    last_n = fields.maybe_integer("prompt_logprobs_last_n")
    if last_n is not None and last_n < 1:
        raise RequestError(422, f"prompt_logprobs_last_n: expected 1 or more, got {last_n}")
    return SampleCall(num_samples, bind, partial(encode, last_n=last_n))


def encode(result: SampleResult, last_n: int | None = None) -> bytes:
    """The protobuf answer; if `last_n` is given, only so many prompt tokens at the end keep logprobs."""
    message = pb.SampleResponse()
    for sequence in result.sequences:
        message.sequences.add(
            stop_reason=pb.STOP if sequence.stop_reason == "stop" else pb.LENGTH,
            tokens=sequence.tokens.astype("<i4", copy=False).tobytes(),
            logprobs=sequence.logprobs.astype("<f4", copy=False).tobytes(),
            topk_sampled_logprobs=None if sequence.topk is None else _topk(sequence.topk),
        )
    hidden = 0 if last_n is None else -last_n
    if result.prompt_logprobs is not None:
        logprobs = result.prompt_logprobs.astype("<f4")
        logprobs[:hidden] = np.nan
        message.prompt_logprobs = logprobs.tobytes()
    if result.topk_prompt_logprobs is not None:
        topk = _topk_of_last(result.topk_prompt_logprobs, hidden)
        message.topk_prompt_logprobs.CopyFrom(_topk(topk))
    return message.SerializeToString()


def _topk(topk: TopkLogprobs) -> pb.TopkLogprobs:
    length, k = topk.token_ids.shape
    return pb.TopkLogprobs(
        token_ids=topk.token_ids.astype("<i4", copy=False).tobytes(),
        logprobs=topk.logprobs.astype("<f4", copy=False).tobytes(),
        k=k,
        length=length,
    )


def _topk_of_last(topk: TopkLogprobs, hidden: int) -> TopkLogprobs:
    token_ids, logprobs = topk.token_ids.copy(), topk.logprobs.copy()
    token_ids[:hidden] = 0
    logprobs[:hidden] = NO_LOGPROB
    return TopkLogprobs(token_ids, logprobs)


def _refuse_unsupported(fields: Fields) -> None:
    refused = {
        "record_stability_info": "it belongs to the loss stable_reinforce, which this server does not have",
        "target_prompt_logprobs": "this server scores the prompt's own tokens only",
        "prompt_alt_tokens_k": "this server draws no alternative prompt tokens",
    }
    for name, why in refused.items():
        if fields.is_set(name):
            raise RequestError(400, f"{name} is not supported: {why}")


def _prompt(fields: Fields) -> NDArray[np.int32]:
    tokens: list[object] = []
    for chunk in fields.child("prompt").children("chunks"):
        kind = chunk.maybe_text("type") or "encoded_text"
        if kind != "encoded_text":
            raise RequestError(
                400, f"prompt: chunks of type {kind!r} are not supported; this server reads text only"
            )
        tokens.extend(chunk.items("tokens"))
    return np.array(_tokens("prompt", tokens), np.int32)


def _stops(params: Fields) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    """Stop tokens and stop strings; strings stop in addition to the end-of-sequence tokens (None)."""
    if not params.has("stop"):
        return None, ()
    if params.is_text("stop"):
        return None, (params.text("stop"),)
    stops = params.items("stop")
    strings = tuple(stop for stop in stops if isinstance(stop, str))
    if strings and len(strings) == len(stops):
        return None, strings
    return tuple(_tokens("sampling_params.stop", stops)), ()


def _tokens(where: str, values: list[object]) -> list[int]:
    tokens = [value for value in values if type(value) is int and -(2**31) <= value < 2**31]
    if len(tokens) != len(values):
        wrong = next(value for value in values if type(value) is not int or not -(2**31) <= value < 2**31)
        raise RequestError(422, f"{where}: expected token ids, got {wrong!r}")
    return tokens
