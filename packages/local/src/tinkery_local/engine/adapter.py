"""An adapter in training, and the immutable snapshot of one that a sampler draws from."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax

from tinkery_local.engine.adam import Moments
from tinkery_local.engine.lora import LoraSpec


@dataclass
class Adapter:
    """A LoRA adapter with its optimizer state; `grads` sums up since the last step, None when nothing was added.

    The arrays are immutable and only ever replaced, so that a snapshot costs nothing.
    """

    lora: LoraSpec
    weights: jax.Array
    moments: Moments
    grads: jax.Array | None = None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Weights to sample from, never changed after they were made. Without an adapter it is the base model."""

    lora: LoraSpec | None = None
    weights: jax.Array | None = field(default=None, repr=False)
