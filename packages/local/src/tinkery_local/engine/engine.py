"""The engine: one base model, any number of adapters, and a sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tinkery_local.engine.adam import AdamParams
from tinkery_local.engine.adapter import Adapter, Snapshot
from tinkery_local.engine.datum import Datum, LossOutput
from tinkery_local.engine.lora import LoraSpec
from tinkery_local.engine.sampling import Finished, SampleRequest
from tinkery_local.engine.spec import ModelSpec


class Engine:
    """A base model with its adapters and its sampler; single-threaded and synchronous.

    Every method raises `EngineError` for what the caller got wrong and leaves all state as it was.
    """

    spec: ModelSpec
    base: Snapshot
    sampler: Sampler

    def __init__(self, folder: Path) -> None:
        """Load a Hugging Face folder: config.json, *.safetensors, and tokenizer.json when stop strings are used."""
        raise RuntimeError("under construction")

    def create_adapter(self, lora: LoraSpec) -> Adapter: ...

    def forward_backward(
        self,
        adapter: Adapter,
        data: Sequence[Datum],
        loss_fn: str,
        config: Mapping[str, float],
        forward_only: bool = False,
    ) -> LossOutput: ...

    def optim_step(self, adapter: Adapter, adam: AdamParams) -> dict[str, float]: ...

    def snapshot(self, adapter: Adapter) -> Snapshot: ...

    def save(self, state: Adapter | Snapshot, folder: Path, overwrite: bool = False) -> None:
        """Write a checkpoint atomically: an adapter with its optimizer, a snapshot without."""

    def load_adapter(self, folder: Path, with_optimizer: bool) -> Adapter: ...

    def load_snapshot(self, folder: Path) -> Snapshot: ...


class Sampler:
    """Continuous batching: `submit` requests at any time, then `step` while `busy`."""

    busy: bool

    def submit(self, request: SampleRequest) -> int:
        """Check a request and queue it; returns its ticket. Raises EngineError at once for a bad request."""
        ...

    def cancel(self, ticket: int) -> None: ...

    def step(self) -> list[Finished]:
        """Run one prefill or one chunk of decoding (a few milliseconds on a small model); returns what is done."""
        ...


def compilations() -> tuple[int, float]:
    """How many programs this process has compiled so far, and the seconds spent on it."""
    ...
