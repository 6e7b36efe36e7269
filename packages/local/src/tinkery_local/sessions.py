"""What clients have opened: sessions, models in training, samplers. All of it is the event loop's."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tinkery_local.engine import Adapter, Engine, EngineError, LoraSpec, Snapshot
from tinkery_local.engine_thread import Job, JobLane
from tinkery_local.ordering import OrderedQueue
from tinkery_local.sampling_lane import SamplingLane
from tinkery_local.weights import WeightShelf


@dataclass(frozen=True)
class Base:
    """A base model that is loaded: by its name, with its engine and the lane that samples from it."""

    name: str
    folder: Path
    engine: Engine
    sampling: SamplingLane
    shelf: WeightShelf


@dataclass
class Session:
    """One client process. Its models and samplers live as long as it does."""

    session_id: str
    user_metadata: dict[str, str]
    display_name: str | None
    model_ids: list[str] = field(default_factory=list[str])
    sampler_ids: list[str] = field(default_factory=list[str])
    last_seen: float = field(default_factory=time.monotonic)

    def touch(self) -> None:
        self.last_seen = time.monotonic()


@dataclass(frozen=True)
class Pending:
    """A request that was accepted, and what to run for it once all before it have arrived."""

    request_id: str
    job: Job


@dataclass
class TrainingModel:
    """An adapter in training. `adapter` is the engine thread's, whose first job for this model makes it."""

    model_id: str
    session: Session
    base: Base
    lora: LoraSpec
    user_metadata: dict[str, str]
    adapter: Adapter | None = None
    queue: OrderedQueue[Pending] = field(default_factory=OrderedQueue[Pending])
    lane: JobLane = field(default_factory=JobLane)
    last_request: datetime = field(default_factory=lambda: datetime.now(UTC))

    def require_adapter(self) -> Adapter:
        """The adapter; EngineError if the request that should have made it failed."""
        if self.adapter is None:
            raise EngineError(f"the model {self.model_id} has no weights, because creating it failed")
        return self.adapter


@dataclass(frozen=True)
class Sampler:
    """What a sampling client draws from: the base model, or what `weights_key` finds on the base's shelf."""

    sampler_id: str
    session: Session
    base: Base
    weights_key: str | None = None
    model_path: str | None = None

    def snapshot(self) -> Snapshot:
        """The weights, on the engine thread."""
        return self.base.engine.base if self.weights_key is None else self.base.shelf.get(self.weights_key)
