"""Distributions, logprobs, stops, and independence of whatever else is sampled."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tinkery_local.engine import (
    AdamParams,
    Adapter,
    Datum,
    Engine,
    EngineError,
    LoraSpec,
    SampledSequence,
    SampleRequest,
    SampleResult,
    Snapshot,
)
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

PROMPT = np.array([3, 14, 15, 9, 26], np.int32)


def run(engine: Engine, *requests: SampleRequest) -> list[SampleResult]:
    """The results of requests that are sampled together, in their order."""
    tickets = [engine.sampler.submit(request) for request in requests]
    results: dict[int, SampleResult] = {}
    while engine.sampler.busy:
        for done in engine.sampler.step():
            assert isinstance(done.outcome, SampleResult)
            results[done.ticket] = done.outcome
    return [results[ticket] for ticket in tickets]


def logprobs_after(engine: Engine, adapter: Adapter, tokens: Sequence[int]) -> NDArray[np.float32]:
    """Logprobs [n, V] after each of the tokens, as the trainer computes them."""
    V = engine.spec.vocab_size
    targets = np.tile(np.arange(V), (len(tokens), 1))
    datum = Datum(np.array(tokens, np.int32), {"target_tokens": targets, "weights": np.ones(targets.shape)})
    return engine.forward_backward(adapter, [datum], "cross_entropy", {}, forward_only=True).logprobs[0]


def same(one: SampledSequence, other: SampledSequence) -> bool:
    return (
        one.tokens.tobytes() == other.tokens.tobytes()
        and one.logprobs.tobytes() == other.logprobs.tobytes()
        and one.stop_reason == other.stop_reason
    )


@pytest.fixture(scope="module")
def adapter(engine: Engine) -> Adapter:
    adapter = engine.create_adapter(LoraSpec(rank=4))
    tokens = np.arange(20, dtype=np.int32)
    datum = Datum(tokens, {"target_tokens": tokens + 1, "weights": np.ones(20)})
    engine.forward_backward(adapter, [datum], "cross_entropy", {})
    engine.optim_step(adapter, AdamParams(learning_rate=0.02))
    return adapter


def truncated(
    logprobs: NDArray[np.float32], temperature: float, top_k: int, top_p: float
) -> NDArray[np.float64]:
    """The probabilities that sampling promises."""
    p = np.exp(logprobs.astype(np.float64) / temperature)
    order = np.argsort(-p)
    p[order[top_k:]] = 0
    p /= p.sum()
    p[order[np.cumsum(p[order]) - p[order] >= top_p]] = 0
    return p / p.sum()


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, 61, 1.0), (1.7, 61, 1.0), (0.8, 7, 1.0), (1.5, 61, 0.7), (1.5, 12, 0.6)],
)
def test_samples_follow_the_distribution(
    temperature: float, top_k: int, top_p: float, engine: Engine, adapter: Adapter
) -> None:
    count = 4096
    request = SampleRequest(
        engine.snapshot(adapter), PROMPT, count, max_tokens=1, temperature=temperature, top_p=top_p, seed=11
    )
    result = run(engine, replace(request, top_k=top_k if top_k < 61 else -1))[0]
    drawn = np.array([sequence.tokens[0] for sequence in result.sequences])
    p = truncated(logprobs_after(engine, adapter, PROMPT.tolist())[-1], temperature, top_k, top_p)
    observed, expected = np.bincount(drawn, minlength=61), count * p
    assert not observed[p == 0].any()
    # Pearson's statistic has mean k and deviation sqrt(2 k); rare tokens are pooled, as it demands.
    rare = (expected < 5) & (expected > 0)
    observed = np.append(observed[expected >= 5], observed[rare].sum())
    expected = np.append(expected[expected >= 5], expected[rare].sum() + 1e-9)
    freedom = len(expected) - 1
    assert np.sum((observed - expected) ** 2 / expected) < freedom + 4 * np.sqrt(2 * freedom)
    for sequence in result.sequences[:20]:
        np.testing.assert_allclose(sequence.logprobs[0], np.log(p[sequence.tokens[0]]), atol=2e-5)


def test_logprobs_agree_with_the_trainer(engine: Engine, adapter: Adapter) -> None:
    request = SampleRequest(engine.snapshot(adapter), PROMPT, 6, max_tokens=20, seed=2, stop_tokens=())
    for sequence in run(engine, request)[0].sequences:
        tokens = [*PROMPT.tolist(), *sequence.tokens.tolist()]
        logprobs = logprobs_after(engine, adapter, tokens[:-1])[len(PROMPT) - 1 :]
        own = logprobs[np.arange(20), sequence.tokens]
        np.testing.assert_allclose(sequence.logprobs, own, atol=2e-5)


def test_greedy_takes_the_likeliest_and_tells_its_plain_logprob(engine: Engine, adapter: Adapter) -> None:
    request = SampleRequest(
        engine.snapshot(adapter), PROMPT, 2, max_tokens=12, temperature=0.0, top_p=0.1, stop_tokens=()
    )
    first, second = run(engine, request)[0].sequences
    assert same(first, second)
    logprobs = logprobs_after(engine, adapter, [*PROMPT.tolist(), *first.tokens.tolist()])[
        len(PROMPT) - 1 : -1
    ]
    np.testing.assert_array_equal(first.tokens, logprobs.argmax(axis=1))
    np.testing.assert_allclose(first.logprobs, logprobs.max(axis=1), atol=2e-5)


def test_a_sample_does_not_depend_on_its_company(engine: Engine, adapter: Adapter) -> None:
    snapshot = engine.snapshot(adapter)
    request = SampleRequest(snapshot, PROMPT, 5, max_tokens=19, seed=7)
    crowd = [
        SampleRequest(snapshot, np.arange(1 + i % 9, dtype=np.int32), 17, max_tokens=3 + i, seed=i)
        for i in range(9)
    ]
    alone = run(engine, request)[0].sequences
    first, last = run(engine, request, *crowd)[0].sequences, run(engine, *crowd, request)[-1].sequences
    for ticket in map(engine.sampler.submit, crowd):
        assert ticket
    engine.sampler.step()
    late = run(engine, request)[0].sequences
    for others in (first, last, late, run(engine, replace(request, num_samples=3))[0].sequences):
        assert all(same(one, other) for one, other in zip(alone, others, strict=False))


def test_samples_of_one_request_differ_and_seeds_repeat(engine: Engine) -> None:
    request = SampleRequest(engine.base, PROMPT, 8, max_tokens=10, seed=2**80 + 5, stop_tokens=())
    one, again = run(engine, request, request)
    assert len({sequence.tokens.tobytes() for sequence in one.sequences}) == 8
    assert all(same(a, b) for a, b in zip(one.sequences, again.sequences, strict=True))
    other, unseeded, fresh = run(
        engine, replace(request, seed=6), replace(request, seed=None), replace(request, seed=None)
    )
    firsts = {result.sequences[0].tokens.tobytes() for result in (one, other, unseeded, fresh)}
    assert len(firsts) == 4


def test_what_stops_a_sample(engine: Engine) -> None:
    request = SampleRequest(engine.base, PROMPT, 32, max_tokens=50, seed=4)
    free = run(engine, replace(request, stop_tokens=()))[0].sequences
    assert all(sequence.stop_reason == "length" and len(sequence.tokens) == 50 for sequence in free)
    ends = run(engine, request)[0].sequences
    many = tuple(range(20, 32))
    stopped = run(engine, replace(request, stop_tokens=many))[0].sequences
    assert {sequence.stop_reason for sequence in ends} == {"length", "stop"}
    for sequences, stops in ((ends, engine.spec.eos_token_ids), (stopped, many)):
        for sequence, whole in zip(sequences, free, strict=True):
            hit = [n for n, token in enumerate(whole.tokens.tolist()) if token in stops]
            length = hit[0] + 1 if hit else 50
            np.testing.assert_array_equal(sequence.tokens, whole.tokens[:length])
            np.testing.assert_array_equal(sequence.logprobs, whole.logprobs[:length])
            assert sequence.stop_reason == ("stop" if hit else "length")


def test_prompt_logprobs_and_the_likeliest_tokens(engine: Engine, adapter: Adapter) -> None:
    prompts = [PROMPT, PROMPT[:1], np.arange(14, dtype=np.int32)]
    requests = [
        SampleRequest(
            engine.snapshot(adapter), prompt, 2, max_tokens=3, prompt_logprobs=True, topk_prompt_logprobs=3,
            topk_sample_logprobs=4, stop_tokens=(),
        )
        for prompt in prompts
    ]  # fmt: skip
    for prompt, result in zip(prompts, run(engine, *requests), strict=True):
        expected = logprobs_after(engine, adapter, prompt.tolist())
        assert result.prompt_logprobs is not None
        assert np.isnan(result.prompt_logprobs[0])
        own = expected[np.arange(len(prompt) - 1), prompt[1:]]
        np.testing.assert_allclose(result.prompt_logprobs[1:], own, atol=2e-5)
        topk = result.topk_prompt_logprobs
        assert topk is not None
        assert topk.token_ids.shape == topk.logprobs.shape == (len(prompt), 3)
        assert (topk.token_ids[0] == 0).all()
        assert (topk.logprobs[0] == -99999.0).all()
        np.testing.assert_allclose(topk.logprobs[1:], np.sort(expected[:-1])[:, :-4:-1], atol=2e-5)
        for sequence in result.sequences:
            assert sequence.topk is not None
            assert sequence.topk.token_ids.shape == (3, 4)
            np.testing.assert_allclose(sequence.topk.logprobs[0], np.sort(expected[-1])[:-5:-1], atol=2e-5)


def test_truncation_leaves_no_likeliest_tokens_beyond_it(engine: Engine) -> None:
    request = SampleRequest(
        engine.base, PROMPT, max_tokens=2, top_k=2, topk_sample_logprobs=4, stop_tokens=()
    )
    topk = run(engine, request)[0].sequences[0].topk
    assert topk is not None
    assert (topk.logprobs[:, 2:] == -99999.0).all()
    np.testing.assert_allclose(np.exp(topk.logprobs[:, :2]).sum(axis=1), 1, atol=1e-5)


def test_prompts_are_scored_alike_alone_and_together(engine: Engine) -> None:
    prompts = [np.roll(np.arange(12, dtype=np.int32), shift) for shift in range(40)]
    requests = [SampleRequest(engine.base, prompt, max_tokens=1, prompt_logprobs=True) for prompt in prompts]
    together = run(engine, *requests)
    for request, result in list(zip(requests, together, strict=True))[::13]:
        np.testing.assert_array_equal(run(engine, request)[0].prompt_logprobs, result.prompt_logprobs)


def test_the_context_is_the_limit(engine: Engine) -> None:
    request = SampleRequest(engine.base, np.zeros(50, np.int32), stop_tokens=())
    assert len(run(engine, request)[0].sequences[0].tokens) == 14
    with pytest.raises(
        EngineError, match=r"max_tokens is 15, but after a prompt of 50 tokens .* room for 14"
    ):
        engine.sampler.submit(replace(request, max_tokens=15))
    with pytest.raises(EngineError, match="the prompt has 64 tokens, the model's context only 64"):
        engine.sampler.submit(replace(request, prompt=np.zeros(64, np.int32)))


def test_stop_strings_are_found_in_the_text(engine: Engine, tmp_path: Path) -> None:
    shutil.copytree(engine.folder, tmp_path, dirs_exist_ok=True)
    words = {f"w{token}": token for token in range(61)}
    Tokenizer(WordLevel(words, unk_token="w0")).save(str(tmp_path / "tokenizer.json"))
    told = Engine(tmp_path)
    request = SampleRequest(told.base, PROMPT, 16, max_tokens=40, seed=3, stop_tokens=())
    free = run(told, request)[0].sequences
    stopped = run(told, replace(request, stop_strings=("w6 w", "w33")))[0].sequences
    assert {sequence.stop_reason for sequence in stopped} == {"stop", "length"}
    for sequence, whole in zip(stopped, free, strict=True):
        texts = [" ".join(f"w{token}" for token in whole.tokens[:n].tolist()) for n in range(1, 41)]
        count = next((n for n, text in enumerate(texts, start=1) if "w6 w" in text or "w33" in text), 40)
        np.testing.assert_array_equal(sequence.tokens, whole.tokens[:count])
        np.testing.assert_array_equal(sequence.logprobs, whole.logprobs[:count])


def test_a_cancelled_request_is_never_reported(engine: Engine) -> None:
    request = SampleRequest(
        engine.base, PROMPT, 3, max_tokens=30, seed=1, stop_tokens=(), prompt_logprobs=True
    )
    waiting, running = (
        engine.sampler.submit(request),
        engine.sampler.submit(replace(request, prompt_logprobs=False)),
    )
    engine.sampler.cancel(waiting)
    assert engine.sampler.step() == []
    engine.sampler.cancel(running)
    engine.sampler.cancel(running)
    assert not engine.sampler.busy
    assert engine.sampler.step() == []


def test_broken_weights_are_an_error_of_the_request(engine: Engine, adapter: Adapter) -> None:
    broken = Snapshot(adapter.lora, np.full_like(adapter.weights, np.nan))
    ticket = engine.sampler.submit(SampleRequest(broken, PROMPT, 2, max_tokens=3))
    (done,) = engine.sampler.step()
    assert done.ticket == ticket
    assert isinstance(done.outcome, EngineError)
    assert "the model's output is not finite" in str(done.outcome)


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (partial(SampleRequest, prompt=np.array([], np.int32)), "the prompt is empty"),
        (
            partial(SampleRequest, prompt=np.array([1, 61], np.int32)),
            "the prompt holds token 61, expected 0 to 60",
        ),
        (partial(SampleRequest, prompt=PROMPT, num_samples=0), "num_samples is 0, expected at least 1"),
        (partial(SampleRequest, prompt=PROMPT, max_tokens=0), "max_tokens is 0, expected at least 1"),
        (
            partial(SampleRequest, prompt=PROMPT, temperature=-1.0),
            r"temperature is -1\.0, expected at least 0",
        ),
        (partial(SampleRequest, prompt=PROMPT, temperature=float("nan")), "temperature is nan"),
        (partial(SampleRequest, prompt=PROMPT, top_p=0.0), r"top_p is 0\.0, expected more than 0"),
        (partial(SampleRequest, prompt=PROMPT, top_k=0), "top_k is 0, expected at least 1, or -1"),
        (
            partial(SampleRequest, prompt=PROMPT, topk_prompt_logprobs=62),
            "topk_prompt_logprobs is 62, expected 0 to 61",
        ),
        (partial(SampleRequest, prompt=PROMPT, stop_strings=("",)), "an empty stop string"),
        (partial(SampleRequest, prompt=PROMPT, stop_strings=("x",)), r"tokenizer\.json does not exist"),
    ],
)
def test_bad_requests_are_refused_at_once(
    request_of: Callable[[Snapshot], SampleRequest], message: str, engine: Engine
) -> None:
    with pytest.raises(EngineError, match=message):
        engine.sampler.submit(request_of(engine.base))
    assert not engine.sampler.busy
