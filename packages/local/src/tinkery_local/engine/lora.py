"""Low-rank adapters: `W' = W + (32 / rank) B A`, with B zero at the start.

An adapter's parameters travel as one float32 vector, so that Adam, accumulation and clipping are each one operation.
The model never sees A and B but only `W'`: for the widths and ranks of one machine that is less work than
two thin products per token, and training and sampling run the same forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from tinkery_local.engine.errors import EngineError
from tinkery_local.engine.model import EMBED, HEAD, Params
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.weights import weight_shapes

ALPHA = 32.0
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class LoraSpec:
    """What of the model an adapter may change, and by which rank."""

    rank: int = 32
    seed: int = 0
    train_attn: bool = True
    train_mlp: bool = True
    train_unembed: bool = True

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise EngineError(f"LoRA rank is {self.rank}, expected at least 1.")
        if not (self.train_attn or self.train_mlp or self.train_unembed):
            raise EngineError("Nothing to train: set train_attn, train_mlp or train_unembed.")


def lora_shapes(spec: ModelSpec, lora: LoraSpec) -> dict[str, tuple[int, int]]:
    """The adapter's matrices in the order of its vector: for each adapted weight A [rank, in] and B [out, rank]."""
    kinds = _ATTENTION * lora.train_attn + _MLP * lora.train_mlp
    weights = weight_shapes(spec)
    targets = {
        name: shape for name, shape in weights.items() if any(f".{kind}.weight" in name for kind in kinds)
    }
    if lora.train_unembed:
        # With tied embeddings only the way out is adapted: the adapted head becomes a matrix of its own.
        targets[HEAD] = weights[EMBED]
    shapes: dict[str, tuple[int, int]] = {}
    for name, (rows, columns) in targets.items():
        shapes |= {f"{name}.lora_A": (lora.rank, columns), f"{name}.lora_B": (rows, lora.rank)}
    return shapes


def init_lora(spec: ModelSpec, lora: LoraSpec) -> NDArray[np.float32]:
    """A fresh adapter's vector: A uniform within `in ** -0.5`, B zero, so that it changes nothing yet."""
    rng = np.random.default_rng(lora.seed)

    def draw(name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
        if name.endswith("lora_B"):
            return np.zeros(shape, np.float32)
        return ((2 * rng.random(shape) - 1) * shape[1] ** -0.5).astype(np.float32)

    return np.concatenate([draw(name, shape).ravel() for name, shape in lora_shapes(spec, lora).items()])


def merge(spec: ModelSpec, lora: LoraSpec, base: Params, matrices: Params) -> dict[str, jax.Array]:
    """The whole model's weights with the adapter's matrices added in."""
    merged = dict(base)
    for name in lora_shapes(spec, lora):
        target = name.removesuffix(".lora_A")
        if target != name:
            weight = base[EMBED] if target == HEAD and spec.tie_word_embeddings else base[target]
            change = matrices[f"{target}.lora_B"] @ matrices[name]
            merged[target] = weight + (ALPHA / lora.rank) * change
    return merged


def pack(matrices: Mapping[str, jax.Array]) -> jax.Array:
    """Matrices, in the order of `lora_shapes`, as one vector."""
    return jnp.concatenate([matrix.reshape(-1) for matrix in matrices.values()])


def unpack(spec: ModelSpec, lora: LoraSpec, vector: jax.Array) -> dict[str, jax.Array]:
    """The inverse of `pack`."""
    shapes = lora_shapes(spec, lora)
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = jnp.split(vector, ends[:-1].tolist())
    return {name: part.reshape(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}
