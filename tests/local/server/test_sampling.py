"""Sampling through the unmodified client."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import tinker
from tinker import types
from tokenizers import Tokenizer

EOS = 256
PROMPT = types.ModelInput.from_ints([10, 20, 30])


def params(
    max_tokens: int = 12,
    seed: int = 5,
    temperature: float = 1.0,
    stop: list[str] | list[int] | str | None = None,
) -> types.SamplingParams:
    return types.SamplingParams(max_tokens=max_tokens, seed=seed, temperature=temperature, stop=stop)


@pytest.fixture
async def sampler(service: tinker.ServiceClient, base_model: str) -> tinker.SamplingClient:
    return await service.create_sampling_client(base_model=base_model)


def tokens(response: types.SampleResponse) -> list[list[int]]:
    return [list(sequence.tokens) for sequence in response.sequences]


async def test_a_seed_draws_the_same_whatever_else_is_sampled(sampler: tinker.SamplingClient) -> None:
    alone = await sampler.sample(PROMPT, 4, params())
    others = [
        sampler.sample(types.ModelInput.from_ints([index]), 8, params(seed=index)) for index in range(8)
    ]
    among = await sampler.sample(PROMPT, 4, params())
    more = await sampler.sample(PROMPT, 6, params())
    await asyncio.gather(*others)
    assert tokens(alone) == tokens(among) == tokens(more)[:4]
    assert alone.sequences[0].logprobs == among.sequences[0].logprobs
    assert len({tuple(sequence) for sequence in tokens(more)}) == 6
    assert tokens(await sampler.sample(PROMPT, 4, params(seed=6))) != tokens(alone)


async def test_without_a_seed_each_request_draws_anew(sampler: tinker.SamplingClient) -> None:
    unseeded = types.SamplingParams(max_tokens=12)
    first, second = await asyncio.gather(*(sampler.sample(PROMPT, 2, unseeded) for _ in range(2)))
    assert tokens(first) != tokens(second)


async def test_logprobs_of_samples_are_those_of_scoring_them(sampler: tinker.SamplingClient) -> None:
    sequence = (await sampler.sample(PROMPT, 1, params())).sequences[0]
    whole = types.ModelInput.from_ints([*PROMPT.to_ints(), *sequence.tokens])
    scored = await sampler.compute_logprobs(whole)
    assert scored[0] is None and len(scored) == whole.length
    rescored = np.array(scored[PROMPT.length :], np.float32)
    np.testing.assert_allclose(np.array(sequence.logprobs), rescored, rtol=1e-4, atol=1e-5)


async def test_prompt_logprobs_and_topk(sampler: tinker.SamplingClient) -> None:
    greedy = params(max_tokens=3, temperature=0.0)
    whole = await sampler.sample(
        PROMPT, 1, greedy, include_prompt_logprobs=True, topk_prompt_logprobs=2, topk_sample_logprobs=3
    )
    last = await sampler.sample(PROMPT, 1, greedy, include_prompt_logprobs=True, prompt_logprobs_last_n=1)
    assert whole.prompt_logprobs is not None and last.prompt_logprobs is not None
    assert last.prompt_logprobs == [None, None, whole.prompt_logprobs[2]]
    assert whole.topk_prompt_logprobs is not None and len(whole.topk_prompt_logprobs) == 3
    (sequence,) = whole.sequences
    assert sequence.topk_logprobs is not None
    for token, logprob, best in zip(
        sequence.tokens, sequence.logprobs or [], sequence.topk_logprobs, strict=True
    ):
        assert best is not None and len(best) == 3
        assert best[0] == (token, pytest.approx(logprob))


async def test_stop_tokens_end_a_sequence_and_belong_to_it(sampler: tinker.SamplingClient) -> None:
    free = (await sampler.sample(PROMPT, 1, params(stop=[]))).sequences[0]
    assert free.stop_reason == "length" and len(free.tokens) == 12
    stop = free.tokens[4]
    stopped = (await sampler.sample(PROMPT, 1, params(stop=[stop]))).sequences[0]
    assert stopped.stop_reason == "stop"
    assert list(stopped.tokens) == list(free.tokens[: free.tokens.index(stop) + 1])


async def test_end_of_sequence_stops_unless_nothing_may(sampler: tinker.SamplingClient) -> None:
    prompt = types.ModelInput.from_ints([1])
    for may_end in (True, False):
        response = await sampler.sample(prompt, 64, params(max_tokens=60, stop=None if may_end else []))
        ended = [sequence for sequence in response.sequences if sequence.stop_reason == "stop"]
        assert bool(ended) == may_end
        assert all(sequence.tokens[-1] == EOS for sequence in ended)


async def test_stop_strings_span_tokens(sampler: tinker.SamplingClient, random_model: Path) -> None:
    tokenizer = Tokenizer.from_file(str(random_model / "tokenizer.json"))
    letters = list(range(94))  # printable ASCII in this tokenizer
    prompt = types.ModelInput.from_ints(letters[:3])
    free = next(
        sequence
        for sequence in (await sampler.sample(prompt, 64, params(stop=[]))).sequences
        if any(set(sequence.tokens[i : i + 2]) <= set(letters) for i in range(3, 11))
    )
    place = next(i for i in range(3, 11) if set(free.tokens[i : i + 2]) <= set(letters))
    text: str = tokenizer.decode(list(free.tokens[place : place + 2]))
    assert len(text) == 2
    responses = [await sampler.sample(prompt, 64, params(stop=stop)) for stop in (text, [text, "never said"])]
    assert tokens(responses[0]) == tokens(responses[1])
    stopped = [sequence for sequence in responses[0].sequences if sequence.stop_reason == "stop"]
    assert any(tokenizer.decode(list(sequence.tokens)).endswith(text) for sequence in stopped)


async def test_old_snapshots_and_training_leave_each_other_alone(
    service: tinker.ServiceClient, base_model: str
) -> None:
    """Two equal clients train alike; one of them samples from an old snapshot in between."""
    datum = types.Datum(
        model_input=types.ModelInput.from_ints([1, 2, 3]),
        loss_fn_inputs={
            "target_tokens": types.TensorData.from_numpy(np.array([2, 3, 4], np.int64)),
            "weights": types.TensorData.from_numpy(np.ones(3, np.float32)),
        },
    )
    step = types.AdamParams(learning_rate=1e-2)
    losses: list[list[float]] = []
    for samples_between in (True, False):
        client = await service.create_lora_training_client(base_model=base_model, rank=4, seed=3)
        await client.forward_backward([datum], "cross_entropy")
        await client.optim_step(step)
        old = await client.save_weights_and_get_sampling_client()
        before = await old.sample(PROMPT, 4, params())
        losses.append([])
        for _ in range(3):
            losses[-1].append((await client.forward_backward([datum], "cross_entropy")).metrics["loss:sum"])
            await client.optim_step(step)
            if samples_between:
                assert tokens(await old.sample(PROMPT, 4, params())) == tokens(before)
        new = await client.save_weights_and_get_sampling_client()
        assert tokens(await new.sample(PROMPT, 4, params())) != tokens(before)
    assert losses[0] == losses[1]


async def test_inflight_clients_follow_the_last_save(service: tinker.ServiceClient, base_model: str) -> None:
    client = await service.create_lora_training_client(base_model=base_model, rank=4)
    first = await client.save_weights_and_get_sampling_client(kind="inflight")
    before = tokens(await first.sample(PROMPT, 4, params()))
    datum = types.Datum(
        model_input=PROMPT,
        loss_fn_inputs={
            "target_tokens": types.TensorData.from_numpy(np.array([2, 3, 4], np.int64)),
            "weights": types.TensorData.from_numpy(np.ones(3, np.float32)),
        },
    )
    await client.forward_backward([datum], "cross_entropy")
    await client.optim_step(types.AdamParams(learning_rate=0.1))
    assert tokens(await first.sample(PROMPT, 4, params())) == before
    second = await client.save_weights_and_get_sampling_client(kind="inflight")
    after = tokens(await second.sample(PROMPT, 4, params()))
    assert tokens(await first.sample(PROMPT, 4, params())) == after != before


@pytest.mark.parametrize(
    ("prompt", "sampling", "message"),
    [
        ([1, 9999], params(), "9999"),
        ([], params(), "empty"),
        ([1] * 300, params(), "256"),
        ([1], params(max_tokens=-1), "max_tokens"),
        ([1], types.SamplingParams(max_tokens=3, temperature=-1.0), "temperature"),
        ([1], types.SamplingParams(max_tokens=3, top_p=0.0), "top_p"),
    ],
)
async def test_a_wrong_request_fails_alone(
    sampler: tinker.SamplingClient, prompt: list[int], sampling: types.SamplingParams, message: str
) -> None:
    with pytest.raises(tinker.RequestFailedError, match=message) as failed:
        await sampler.sample(types.ModelInput.from_ints(prompt), 1, sampling)
    assert failed.value.category == types.RequestErrorCategory.User
    await sampler.sample(PROMPT, 1, params(max_tokens=1))


async def test_images_are_refused_at_once(sampler: tinker.SamplingClient) -> None:
    image = types.ModelInput(chunks=[types.ImageChunk(data=b"x", format="png", expected_tokens=1)])
    with pytest.raises(tinker.BadRequestError, match="'image' are not supported"):
        await sampler.sample(image, 1, params())


async def test_what_is_cancelled_leaves_the_rest(sampler: tinker.SamplingClient) -> None:
    long = sampler.sample(PROMPT, 64, params(max_tokens=250, stop=[]))
    long.future().cancel()
    assert (await sampler.sample(PROMPT, 1, params())).sequences
