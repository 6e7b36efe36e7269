"""One completion as it grows: what stops it, and what is handed out at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkery_local.engine.sampling import SampledSequence, StopReason, likeliest

_CHANCES_AT_ONCE = 32


@dataclass(frozen=True)
class Plan:
    """A sampling request with nothing left open: what its samples have in common.

    `ticket` names the request, `seed` is below 2^64, `limit` the number of tokens to draw at most, `top` how many
    of the likeliest to report.
    """

    ticket: int
    prompt: tuple[int, ...]
    seed: int
    limit: int
    temperature: float
    top_k: int
    top_p: float
    top: int
    stops: tuple[int, ...]
    stop_strings: tuple[str, ...]
    decode: Callable[[list[int]], str]


class GrowingSequence:
    """Sample number `index` of a plan; it takes chunks of drawn tokens until it has a stop reason.

    What follows the first stop token, or the token that completes a stop string, is dropped.
    """

    def __init__(self, plan: Plan, index: int) -> None:
        self.plan = plan
        self.index = index
        self.tokens: list[int] = []
        self.stop_reason: StopReason | None = None
        self._rng = np.random.Generator(np.random.Philox(key=np.array((plan.seed, index), np.uint64)))
        self._chances = np.empty(0, np.float32)
        self._logprobs: list[float] = []
        self._top_tokens: list[NDArray[np.int32]] = []
        self._top_logprobs: list[NDArray[np.float32]] = []

    @property
    def finite(self) -> bool:
        """False if the model's output was not."""
        return bool(np.isfinite(self._logprobs).all())

    def chances(self, count: int) -> NDArray[np.float32]:
        """Uniform draws from [0, 1) for the next tokens; each belongs to its token, however they are asked for."""
        start = len(self.tokens)
        if len(self._chances) < start + count:
            self._chances = np.append(self._chances, self._rng.random(_CHANCES_AT_ONCE, np.float32))
        return self._chances[start : start + count]

    def take(
        self,
        tokens: Sequence[int],
        logprobs: Sequence[float],
        top_tokens: NDArray[np.int32],
        top_logprobs: NDArray[np.float32],
    ) -> None:
        """Add a chunk: [n], [n], [n, k], [n, k]."""
        start = len(self.tokens)
        room = self.plan.limit - start
        end = next((i + 1 for i, token in enumerate(tokens[:room]) if token in self.plan.stops), None)
        if end is not None:
            self.stop_reason = "stop"
        elif len(tokens) >= room:
            end, self.stop_reason = room, "length"
        self.tokens += tokens[:end]
        self._logprobs += logprobs[:end]
        self._top_tokens.append(top_tokens[:end])
        self._top_logprobs.append(top_logprobs[:end])
        if self.plan.stop_strings:
            self._stop_at_string(start)

    def result(self) -> SampledSequence:
        """The completion; only once it has stopped."""
        assert self.stop_reason is not None
        n = len(self.tokens)
        topk = likeliest(
            np.concatenate(self._top_tokens)[:n, : self.plan.top],
            np.concatenate(self._top_logprobs)[:n, : self.plan.top],
        )
        tokens, logprobs = np.array(self.tokens, np.int32), np.array(self._logprobs, np.float32)
        return SampledSequence(tokens, logprobs, self.stop_reason, topk if self.plan.top else None)

    def _stop_at_string(self, start: int) -> None:
        if not self._holds_stop_string(self.tokens):
            return
        shorter = range(start + 1, len(self.tokens))
        end = next((n for n in shorter if self._holds_stop_string(self.tokens[:n])), len(self.tokens))
        del self.tokens[end:], self._logprobs[end:]
        self.stop_reason = "stop"

    def _holds_stop_string(self, tokens: list[int]) -> bool:
        text = self.plan.decode(tokens)
        return any(stop in text for stop in self.plan.stop_strings)
