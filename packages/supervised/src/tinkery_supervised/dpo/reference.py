"""Log-probabilities of the frozen reference: computed once for each answer, ahead of need, and kept on disk."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinkery_core.jsonl import append_lines, is_record, keep_lines, read_lines

from tinkery_supervised.cross_entropy import LOSS, make_datum

if TYPE_CHECKING:
    import tinker

    from tinkery_supervised.dpo.losses import Floats
    from tinkery_supervised.preferences.dataset import PairBatch
    from tinkery_supervised.types import Example

CACHE = "reference_logprobs.jsonl"


@dataclass(frozen=True)
class PendingLogprobs:
    """Examples on their way through a model."""

    examples: Sequence[Example]
    output: tinker.APIFuture[tinker.ForwardBackwardOutput]

    async def sums(self) -> list[float]:
        """The log-probability of the targets of each example, summed over its tokens."""
        records = (await self.output).loss_fn_outputs
        return [
            float((record["logprobs"].to_numpy().astype(float) * example.weights_T[1:]).sum())
            for record, example in zip(records, self.examples, strict=True)
        ]


def enqueue_logprobs(client: tinker.TrainingClient, examples: Sequence[Example]) -> PendingLogprobs:
    """Enqueue one forward pass of all examples."""
    return PendingLogprobs(examples, client.forward([make_datum(example, 1.0) for example in examples], LOSS))


@dataclass(frozen=True)
class ScoredBatch:
    """Pairs with the reference's log-probabilities of their answers, [D, 2], the chosen one first."""

    batch: PairBatch
    reference_D: Floats

    @property
    def answers(self) -> list[Example]:
        """Both answers of each pair, the chosen one first."""
        return [side for pair in self.batch.pairs_D for side in pair.sides]


class ReferenceLogprobs:
    """What the reference says of answers. What it has said is in a file of the run folder and not asked again.

    One request is on its way at a time, and its answers are one line of the file. So each answer is asked for once,
    and in the same request however often the run is killed: equal to the last bit.
    """

    def __init__(
        self, folder: Path, state_path: str, open_client: Callable[[], Awaitable[tinker.TrainingClient]]
    ) -> None:
        self.path = folder / CACHE
        self.state_path = state_path
        self._open_client = open_client
        self._client: tinker.TrainingClient | None = None
        self._turn = asyncio.Lock()
        self._known: dict[str, float] = {}
        keep_lines(self.path, lambda record: record["reference"] == state_path)
        for record in read_lines(self.path):
            logprobs = record["logprobs"]
            assert is_record(logprobs)
            self._known |= {key: float(str(value)) for key, value in logprobs.items()}

    async def score(self, batch: PairBatch) -> ScoredBatch:
        """Add what the reference says to a batch."""
        import numpy as np

        examples = [side for pair in batch.pairs_D for side in pair.sides]
        async with self._turn:
            logprobs = await self._logprobs(examples)
        return ScoredBatch(batch, np.array(logprobs, dtype=np.float64).reshape(-1, 2))

    async def _logprobs(self, examples: Sequence[Example]) -> list[float]:
        keys = [key_of(example) for example in examples]
        missing = {
            key: example for key, example in zip(keys, examples, strict=True) if key not in self._known
        }
        if missing:
            if self._client is None:
                self._client = await self._open_client()
            logprobs = await enqueue_logprobs(self._client, list(missing.values())).sums()
            found = dict(zip(missing, logprobs, strict=True))
            append_lines(self.path, [json.dumps({"reference": self.state_path, "logprobs": found})])
            self._known |= found
        return [self._known[key] for key in keys]


def key_of(example: Example) -> str:
    """Names an example by its content: tokens and targets."""
    import numpy as np

    digest = hashlib.blake2b(np.array(example.tokens_T, dtype=np.int64).tobytes(), digest_size=16)
    digest.update(example.weights_T.tobytes())
    return digest.hexdigest()


class ScoredAhead(AsyncIterator[ScoredBatch]):
    """Batches in order, of which up to `depth` are scored before they are asked for, beside the training."""

    def __init__(self, reference: ReferenceLogprobs, depth: int) -> None:
        self._reference = reference
        self._ready: asyncio.Queue[ScoredBatch] = asyncio.Queue(depth)

    async def score_all(self, batches: AsyncIterator[PairBatch]) -> None:
        """Score batch after batch, as they are taken. To run beside who takes them, and to fail with the same group."""
        async for batch in batches:
            await self._ready.put(await self._reference.score(batch))

    async def __anext__(self) -> ScoredBatch:
        return await self._ready.get()
