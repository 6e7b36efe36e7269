"""An adapter in training, and the immutable snapshots of one that samplers draw from."""

from __future__ import annotations

from dataclasses import dataclass

from tinkery_local.engine.adam import Moments
from tinkery_local.engine.lora import LoraSpec, Vector


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Weights to sample from, never changed after they were made. Without an adapter it is the base model."""

    lora: LoraSpec | None = None
    weights: Vector | None = None

    def __post_init__(self) -> None:
        if self.weights is not None:
            self.weights.flags.writeable = False


@dataclass
class Adapter:
    """A LoRA adapter with its optimizer state; a step replaces `now` and leaves all older snapshots alone.

    `grads` sums up what was added since the last step, and is None when nothing was.
    """

    lora: LoraSpec
    now: Snapshot
    moments: Moments
    grads: Vector | None = None

    @property
    def weights(self) -> Vector:
        """The vector in training, read-only."""
        assert self.now.weights is not None
        return self.now.weights
