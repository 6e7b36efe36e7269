"""Policies as functions: tokens in, tokens out, and the same for messages."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from tinkery_core.chat import Chat, Message

if TYPE_CHECKING:
    import tinker

Stop: TypeAlias = list[int] | list[str]


@dataclass(frozen=True)
class Completion:
    """What a model sampled: tokens with their log-probabilities, the stop token included if there was one."""

    tokens: list[int]
    logprobs: list[float]
    stop_reason: Literal["stop", "length"]


class TokenCompleter(Protocol):
    """A policy on the level of tokens. `stop` None stops at the end-of-text token of the model only."""

    async def __call__(self, prompt: list[int], stop: Stop | None = None) -> Completion: ...


class SamplingCompleter:
    """Samples from one snapshot; equal prompts asked for in the same turn of the event loop become one request.

    One request costs the client as much as another, whatever its number of samples, so the members of a group, who
    start from the same prompt, share one. Seeds depend on `seed`, the prompt and how often it was asked for before:
    not on the order in which different prompts arrive, so equal runs sample equally.
    """

    def __init__(
        self,
        sampling_client: tinker.SamplingClient,
        *,
        seed: int,
        max_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = -1,
    ) -> None:
        self.sampling_client = sampling_client
        self.seed = seed
        self.max_tokens = max_tokens
        self.temperature = temperature
        self.top_p = top_p
        self.top_k = top_k
        self.num_requests = 0
        self._open: dict[_Key, _Request] = {}
        self._num_asked: Counter[_Key] = Counter()

    async def __call__(self, prompt: list[int], stop: Stop | None = None) -> Completion:
        key = (tuple(prompt), None if stop is None else tuple(stop))
        request = self._open.get(key)
        if request is None:
            sending = asyncio.get_running_loop().create_task(self._send(key, prompt, stop))
            request = self._open[key] = _Request(sending)
        index = request.num_samples
        request.num_samples += 1
        request.num_waiting += 1
        try:
            completions = await asyncio.shield(
                request.sending
            )  # one caller's cancellation is not the others'
        finally:
            request.num_waiting -= 1
            if request.num_waiting == 0:
                self._withdraw(key, request)
        return completions[index]

    def _withdraw(self, key: _Key, request: _Request) -> None:
        """Nobody waits for the request: stop it, unless it is done."""
        request.sending.cancel()
        if self._open.get(key) is request:
            del self._open[key]

    async def _send(self, key: _Key, prompt: list[int], stop: Stop | None) -> list[Completion]:
        # This task first runs after every task that was ready with it, so the request is complete by now.
        import tinker

        num_samples = self._open.pop(key).num_samples
        params = tinker.SamplingParams(
            max_tokens=self.max_tokens,
            seed=_fold(self.seed, json.dumps(key), self._num_asked[key]),
            stop=stop,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
        )
        self._num_asked[key] += 1
        self.num_requests += 1
        response = await self.sampling_client.sample(
            tinker.ModelInput.from_ints(prompt), num_samples=num_samples, sampling_params=params
        )
        return [
            Completion(sequence.tokens, sequence.logprobs or [], sequence.stop_reason)
            for sequence in response.sequences
        ]


_Key: TypeAlias = tuple[tuple[int, ...], tuple[int | str, ...] | None]


@dataclass
class _Request:
    """A request that is still open to callers with the same prompt, or on its way."""

    sending: asyncio.Task[list[Completion]]
    num_samples: int = 0
    num_waiting: int = 0


def _fold(seed: int, key: str, count: int) -> int:
    """A 31-bit seed that depends on all three."""
    digest = hashlib.blake2b(f"{seed}/{count}/{key}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) >> 1


class MessageCompleter:
    """A policy on the level of messages, e.g. a judge or an opponent."""

    def __init__(self, completer: TokenCompleter, chat: Chat) -> None:
        self.completer = completer
        self.chat = chat

    async def __call__(self, messages: Sequence[Message]) -> Message:
        """The assistant's answer to `messages`."""
        completion = await self.completer(self.chat.render_prompt(messages), self.chat.stop_tokens)
        return {"role": "assistant", "content": self.chat.parse(completion.tokens)}
