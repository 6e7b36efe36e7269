"""An adapter in training, and the immutable snapshot of one that a sampler draws from."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax

from tinkery_local.engine.lora import LoraSpec


@dataclass
class Adapter:
    """A LoRA adapter with its optimizer state; all of its parameters as one float32 vector.

    `step` counts optimizer steps; `grads` is the sum since the last one, None when nothing was added.
    """

    lora: LoraSpec
    weights: jax.Array
    mean: jax.Array
    variance: jax.Array
    step: int = 0
    grads: jax.Array | None = None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Weights to sample from, never changed after they were made. Without `lora` it is the base model."""

    lora: LoraSpec | None = None
    weights: jax.Array | None = field(default=None, repr=False)
