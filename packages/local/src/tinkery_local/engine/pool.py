"""A running batch of one shape: sequences join at chunk boundaries and leave when they are done."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from tinkery_local.engine.decode import CHUNK, Rows, decode, empty_cache, num_slots, prefill
from tinkery_local.engine.model import Params
from tinkery_local.engine.sequence import GrowingSequence, Plan
from tinkery_local.engine.shapes import context_length
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.typed import on_device

_PREFILL_TOKENS = 256
_STOPS_ON_DEVICE = 8

Slots = list[GrowingSequence | None]


class Pool:
    """Sequences of one snapshot and one context length that are decoded together; the surplus waits."""

    def __init__(self, spec: ModelSpec, params: Params, context: int, truncate: bool, top: int) -> None:
        self._spec = spec
        self._params = params
        self._truncate = truncate
        self._top = top
        self._slots: Slots = [None] * num_slots(spec, context)
        self._cache = empty_cache(spec, len(self._slots), context)
        self._waiting: deque[GrowingSequence] = deque()

    @property
    def busy(self) -> bool:
        return bool(self._waiting) or any(self._slots)

    def add(self, sequences: Iterable[GrowingSequence]) -> None:
        self._waiting.extend(sequences)

    def drop(self, ticket: int) -> None:
        """Forget the sequences of a request, waiting or running."""
        self._waiting = deque(held for held in self._waiting if held.plan.ticket != ticket)
        self._slots = [None if held and held.plan.ticket == ticket else held for held in self._slots]

    def step(self) -> list[GrowingSequence]:
        """Let waiting sequences join, decode a chunk, and return those that are done."""
        self._join()
        # While others wait, a chunk ends as soon as half of the slots could be theirs.
        min_live = np.int32(len(self._slots) // 2 if self._waiting else 0)
        self._cache, chunk, steps = decode(
            self._spec,
            self._params,
            self._cache,
            _rows(self._slots),
            on_device(min_live),
            self._truncate,
            self._top,
        )
        tokens, logprobs, top_tokens, top_logprobs = (
            np.asarray(part)[: int(steps)].swapaxes(0, 1) for part in chunk
        )
        for slot, held in enumerate(self._slots):
            if held is not None:
                held.take(
                    tokens[slot].tolist(), logprobs[slot].tolist(), top_tokens[slot], top_logprobs[slot]
                )
        done = [held for held in self._slots if held and held.stop_reason]
        self._slots = [None if held and held.stop_reason else held for held in self._slots]
        return done

    def _join(self) -> None:
        joined: list[tuple[int, int]] = []
        for slot, held in enumerate(self._slots):
            if held is None and self._waiting:
                fresh = self._waiting.popleft()
                self._slots[slot] = fresh
                if len(fresh.plan.prompt) > 1:
                    joined.append((context_length(len(fresh.plan.prompt) - 1), slot))
        for length, group in groupby(sorted(joined), key=lambda pair: pair[0]):
            self._prefill(length, [slot for _, slot in group])

    def _prefill(self, length: int, slots: list[int]) -> None:
        """Run each prompt once, however many samples it has, but for its last token: that one is decoded."""
        sequences = {slot: held for slot in slots if (held := self._slots[slot])}
        plans = list({held.plan.ticket: held.plan for held in sequences.values()}.values())
        at_once = max(1, _PREFILL_TOKENS // length)
        for start in range(0, len(plans), at_once):
            prompts, rows = _prompts(plans[start : start + at_once], (at_once, length))
            source = np.full(len(self._slots), -1, np.int32)
            for slot, held in sequences.items():
                source[slot] = rows.get(held.plan.ticket, -1)
            self._cache = prefill(
                self._spec, self._params, self._cache, on_device(prompts), on_device(source)
            )


def _prompts(plans: list[Plan], shape: tuple[int, int]) -> tuple[NDArray[np.int32], dict[int, int]]:
    """Prompts without their last tokens, padded, and the row of each request."""
    prompts = np.zeros(shape, np.int32)
    for row, plan in enumerate(plans):
        prompts[row, : len(plan.prompt) - 1] = plan.prompt[:-1]
    return prompts, {plan.ticket: row for row, plan in enumerate(plans)}


def _rows(slots: Slots) -> Rows:
    """What the device has to know of the sequences; an empty slot wants nothing."""
    count = len(slots)
    ints, floats = np.zeros((4, count), np.int32), np.ones((2, count), np.float32)
    token, position, top_k, remaining = ints
    temperature, top_p = floats
    chance = np.zeros((count, CHUNK), np.float32)
    stops = np.full((count, _STOPS_ON_DEVICE), -1, np.int32)
    for slot, held in enumerate(slots):
        if held is None:
            continue
        plan, drawn = held.plan, len(held.tokens)
        token[slot] = held.tokens[-1] if drawn else plan.prompt[-1]
        position[slot] = len(plan.prompt) - 1 + drawn
        remaining[slot] = plan.limit - drawn
        chance[slot] = held.chances(CHUNK)
        temperature[slot], top_k[slot], top_p[slot] = plan.temperature, plan.top_k, plan.top_p
        first = plan.stops[:_STOPS_ON_DEVICE]
        stops[slot, : len(first)] = first
    columns = (token, position, chance, temperature, top_k, top_p, stops, remaining)
    return Rows(*map(on_device, columns))
