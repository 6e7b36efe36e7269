"""Low-rank adapters: `W' = W + (32 / rank) B A`, with B zero at the start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoraSpec:
    """What of the model an adapter may change, and by which rank."""

    rank: int = 32
    seed: int = 0
    train_attn: bool = True
    train_mlp: bool = True
    train_unembed: bool = True
