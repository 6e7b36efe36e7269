"""Sampling as a function: equal prompts share a request, equal runs sample equally."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import tinker
from tinkery_core.backend import LocalBackend
from tinkery_core.completers import Completion, MessageCompleter, SamplingCompleter
from tinkery_core.model import ModelConfig
from tinkery_local.testing import RunningServer

MODEL = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3")
PROMPTS = [
    MODEL.load_chat().render_prompt([{"role": "user", "content": f"What is {n} + 4?"}]) for n in (3, 5)
]
STOP = MODEL.load_chat().stop_tokens


@asynccontextmanager
async def base_model(server: RunningServer) -> AsyncGenerator[tinker.SamplingClient]:
    service = LocalBackend(base_url=server.url)(Path(), [MODEL.name])
    async with service.connect() as client:
        yield await client.create_sampling_client(base_model=MODEL.name)


def make_completer(
    client: tinker.SamplingClient, *, seed: int = 0, max_tokens: int = 6, temperature: float = 1.0
) -> SamplingCompleter:
    return SamplingCompleter(client, seed=seed, max_tokens=max_tokens, temperature=temperature)


async def test_equal_prompts_of_one_turn_share_a_request(server: RunningServer) -> None:
    async with base_model(server) as client:
        completer = make_completer(client)
        group = await asyncio.gather(*(completer(PROMPTS[0], STOP) for _ in range(8)))
        assert completer.num_requests == 1
        assert len({tuple(completion.tokens) for completion in group}) > 1
        await asyncio.gather(
            completer(PROMPTS[0], STOP), completer(PROMPTS[1], STOP), completer(PROMPTS[0], [2])
        )
        assert completer.num_requests == 4


async def test_the_completion(server: RunningServer) -> None:
    async with base_model(server) as client:
        completion = await make_completer(client, temperature=0)(PROMPTS[0], STOP)
        assert completion.stop_reason == "stop"
        assert completion.tokens[-1] in STOP
        assert len(completion.logprobs) == len(completion.tokens)
        cut = await SamplingCompleter(client, seed=0, max_tokens=1)(PROMPTS[0], STOP)
        assert (cut.stop_reason, len(cut.tokens)) == ("length", 1)


async def test_equal_runs_sample_equally_in_whatever_order_prompts_come(server: RunningServer) -> None:
    async def sample(
        client: tinker.SamplingClient, seed: int, order: list[int]
    ) -> dict[int, list[Completion]]:
        completer = make_completer(client, seed=seed)
        samples: dict[int, list[Completion]] = {}
        for index in order:
            group = await asyncio.gather(*(completer(PROMPTS[index], STOP) for _ in range(4)))
            samples.setdefault(index, []).extend(group)
        return samples

    async with base_model(server) as client:
        first = await sample(client, 0, [0, 1, 0, 1])
        assert await sample(client, 0, [1, 1, 0, 0]) == first
        assert await sample(client, 1, [0, 1, 0, 1]) != first
        assert first[0][:4] != first[0][4:]


async def test_a_caller_that_gives_up_leaves_the_others_their_samples(server: RunningServer) -> None:
    async with base_model(server) as client:
        completer = make_completer(client)
        calls = [asyncio.ensure_future(completer(PROMPTS[0], STOP)) for _ in range(3)]
        await asyncio.sleep(0)
        calls[0].cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert all(isinstance(result, Completion) for result in results[1:])


async def test_a_request_that_nobody_waits_for_is_withdrawn(server: RunningServer) -> None:
    async with base_model(server) as client:
        completer = make_completer(client)
        for turns in range(4):  # before it is sent, and on its way
            call = asyncio.ensure_future(completer(PROMPTS[0], STOP))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        assert isinstance(await completer(PROMPTS[0], STOP), Completion)


async def test_refused_requests_of_a_group_are_one_error(server: RunningServer) -> None:
    unheard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    async with base_model(server) as client:
        completer = make_completer(client, max_tokens=100_000)
        with pytest.raises(ExceptionGroup) as error:
            async with asyncio.TaskGroup() as group:
                for prompt in PROMPTS:
                    group.create_task(completer(prompt, STOP))
    assert "max_tokens is 100000" in str(error.value.exceptions[0])
    gc.collect()
    await asyncio.sleep(0)
    assert unheard == []


async def test_how_a_withdrawn_request_ends_is_nobodys_business(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK's task of a request may outlive its cancellation, and fail when the session closes."""

    async def fails(message: str) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        raise ValueError(message)

    async def forget(message: str, *, withdrawn: bool) -> None:
        task = asyncio.ensure_future(fails(message))
        await asyncio.sleep(0)
        if withdrawn:
            task.cancel()
        await asyncio.wait([task])
        del task
        gc.collect()

    async with base_model(server) as client:
        holder = client.holder
        await holder.run_coroutine_threadsafe(forget("unheard", withdrawn=True))
        await holder.run_coroutine_threadsafe(forget("heard", withdrawn=False))
    reports = [record for record in caplog.records if "never retrieved" in record.getMessage()]
    assert len(reports) == 1
    assert "ValueError('heard')" in reports[0].getMessage()


async def test_messages(server: RunningServer) -> None:
    async with base_model(server) as client:
        completer = MessageCompleter(make_completer(client, temperature=0), MODEL.load_chat())
        answer = await completer([{"role": "user", "content": "What is 3 + 4?"}])
        assert answer["role"] == "assistant"
        assert answer["content"].strip()
