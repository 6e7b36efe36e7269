"""Adam with decoupled weight decay and global-norm clipping, as the Tinker API defines it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AdamParams:
    """One step's hyperparameters; `grad_clip_norm` 0 means no clipping."""

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0
