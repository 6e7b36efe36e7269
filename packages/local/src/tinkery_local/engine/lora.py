"""Low-rank adapters: `W' = W + (32 / rank) B A`, with B zero at the start.

The model's programs never see A and B but only `W'`: they take merged weights and give gradients of merged weights, so
they are the same for training and sampling, and for every rank. What is between the two is small, and done here by
numpy, on one float32 vector an adapter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkery_local.engine.errors import EngineError
from tinkery_local.engine.model import EMBED, HEAD
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.weights import Weights, weight_shapes

ALPHA = 32.0
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")

Vector = NDArray[np.float32]


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


def adapted_shapes(spec: ModelSpec, lora: LoraSpec) -> dict[str, tuple[int, ...]]:
    """The weights that an adapter changes, [out, in] by name, in the order of its vector."""
    kinds = _ATTENTION * lora.train_attn + _MLP * lora.train_mlp
    weights = weight_shapes(spec)
    adapted = {
        name: shape
        for name, shape in weights.items()
        if any(name.endswith(f".{kind}.weight") for kind in kinds)
    }
    if lora.train_unembed:
        # With tied embeddings only the way out is adapted: the head becomes a matrix of its own.
        adapted[HEAD] = weights[EMBED]
    return adapted


def vector_size(spec: ModelSpec, lora: LoraSpec) -> int:
    """How many parameters an adapter has."""
    return lora.rank * sum(sum(shape) for shape in adapted_shapes(spec, lora).values())


def factors(spec: ModelSpec, lora: LoraSpec, vector: Vector) -> dict[str, tuple[Vector, Vector]]:
    """Views of A [rank, in] and B [out, rank] of each adapted weight in an adapter's vector."""
    views: dict[str, tuple[Vector, Vector]] = {}
    start = 0
    for name, (rows, columns) in adapted_shapes(spec, lora).items():
        middle, end = start + lora.rank * columns, start + lora.rank * (columns + rows)
        views[name] = (
            vector[start:middle].reshape(lora.rank, columns),
            vector[middle:end].reshape(rows, lora.rank),
        )
        start = end
    return views


def init_lora(spec: ModelSpec, lora: LoraSpec) -> Vector:
    """A fresh adapter's vector: A uniform within `in ** -0.5`, B zero, so that it changes nothing yet."""
    rng = np.random.default_rng(lora.seed)
    vector = np.zeros(vector_size(spec, lora), np.float32)
    for a, _ in factors(spec, lora, vector).values():
        bound = a.shape[1] ** -0.5
        a[:] = rng.uniform(-bound, bound, a.shape).astype(np.float32)
    return vector


def merge(spec: ModelSpec, lora: LoraSpec, base: Mapping[str, Vector], vector: Vector) -> Weights:
    """The adapted weights with the adapter added in; `base` holds the head under its own name, tied or not."""
    merged: Weights = {}
    with _quiet():
        for name, (a, b) in factors(spec, lora, vector).items():
            merged[name] = b @ a
            merged[name] *= ALPHA / lora.rank
            merged[name] += base[name]
    return merged


def pull_back(spec: ModelSpec, lora: LoraSpec, vector: Vector, grads: Mapping[str, Vector]) -> Vector:
    """The gradient of the vector, given that of the merged weights: `dA = s B^T dW`, `dB = s dW A^T`."""
    result = np.empty_like(vector)
    parts = factors(spec, lora, result)
    with _quiet():
        for name, (a, b) in factors(spec, lora, vector).items():
            np.matmul(b.T, grads[name], out=parts[name][0])
            np.matmul(grads[name], a.T, out=parts[name][1])
        result *= ALPHA / lora.rank
    return result


def _quiet() -> np.errstate:
    """Numbers that overflow are reported by whoever finds a loss, a gradient or a logprob that is not finite."""
    return np.errstate(over="ignore", invalid="ignore")
