"""Training examples, checked and padded into micro-batches of a few shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkery_local.engine.errors import EngineError
from tinkery_local.engine.losses import Example, Loss
from tinkery_local.engine.shapes import training_length
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.typed import on_device


@dataclass(frozen=True)
class Datum:
    """One training sequence: `tokens` int[N] and the loss's inputs, each [N] (cross_entropy: also [N, K])."""

    tokens: NDArray[np.int32]
    inputs: Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class LossOutput:
    """Per datum the logprobs of its target tokens (float32, shape of `target_tokens`), and summed metrics.

    Metric keys end in `:sum`, so that outputs of several chunks of one batch can be added up.
    """

    logprobs: list[NDArray[np.float32]]
    metrics: dict[str, float]


@dataclass(frozen=True)
class Batch:
    """A micro-batch: row i holds datum `indices[i]`, rows beyond are empty.

    `tokens` is int64 [B, T], `targets` int64 [B, T, K]; `inputs` are float32 [B, T, K], among them `present`,
    which is 0 on padding.
    """

    indices: list[int]
    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    inputs: dict[str, NDArray[np.float32]]

    def on_device(self) -> Example:
        inputs = {name: on_device(values) for name, values in self.inputs.items()}
        return Example(
            on_device(self.tokens.astype(np.int32)), on_device(self.targets.astype(np.int32)), inputs
        )


def make_batches(
    spec: ModelSpec, loss: Loss, config: Mapping[str, float], data: Sequence[Datum], tokens_per_batch: int
) -> list[Batch]:
    """Check the data and pad it, longest first, into batches of about `tokens_per_batch` tokens each.

    How many rows a batch has follows from its length alone: so no number of datums has a shape of its own.
    Raises `EngineError` naming the datum for a wrong shape, a token out of vocabulary, a value that is not finite.
    """
    for index, datum in enumerate(data):
        _check_shapes(spec, loss, index, datum)
    order = sorted(range(len(data)), key=lambda index: -len(data[index].tokens))
    width = max((datum.inputs["target_tokens"].size // len(datum.tokens) for datum in data), default=1)
    batches: list[Batch] = []
    while order:
        length = training_length(len(data[order[0]].tokens))
        rows = max(1, tokens_per_batch // length)
        batches.append(_pad(loss, config, data, order[:rows], (rows, length, 1 << (width - 1).bit_length())))
        order = order[rows:]
    for batch in batches:
        _check_values(spec, loss, batch)
    return batches


def unpad(
    data: Sequence[Datum], batches: Sequence[Batch], values: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """One array a datum, in the shape of its targets, out of one [B, T, K] array a batch."""
    outputs: dict[int, NDArray[np.float32]] = {}
    for batch, values_BTK in zip(batches, values, strict=True):
        for row, index in enumerate(batch.indices):
            shape = data[index].inputs["target_tokens"].shape
            length, width = len(data[index].tokens), shape[1] if len(shape) == 2 else 1
            outputs[index] = values_BTK[row, :length, :width].reshape(shape)
    return [outputs[index] for index in range(len(data))]


def _check_shapes(spec: ModelSpec, loss: Loss, index: int, datum: Datum) -> None:
    length = len(datum.tokens)
    if not 1 <= length <= spec.max_position_embeddings:
        raise EngineError(f"datum {index} has {length} tokens, expected 1 to {spec.max_position_embeddings}.")
    known = {"target_tokens", *loss.inputs, *loss.config}
    for name in datum.inputs:
        if name not in known:
            names = ", ".join(sorted(known))
            raise EngineError(f"datum {index}: {loss.name} does not know the input {name!r}, only {names}.")
    for name in ("target_tokens", *loss.inputs):
        if name not in datum.inputs:
            raise EngineError(f"datum {index}: {loss.name} needs the input {name!r}.")
    shape = datum.inputs["target_tokens"].shape
    if shape[:1] != (length,) or len(shape) > 1 + loss.several_targets or 0 in shape:
        expected = f"[{length}] or [{length}, K]" if loss.several_targets else f"[{length}]"
        raise EngineError(f"datum {index}: target_tokens has shape {list(shape)}, expected {expected}.")
    for name, value in datum.inputs.items():
        if value.shape != shape:
            raise EngineError(f"datum {index}: {name} has shape {list(value.shape)}, expected {list(shape)}.")


def _pad(
    loss: Loss,
    config: Mapping[str, float],
    data: Sequence[Datum],
    indices: list[int],
    shape: tuple[int, int, int],
) -> Batch:
    defaults = dict.fromkeys(loss.inputs, 0.0) | dict(loss.config) | dict(config)
    inputs = {name: np.full(shape, value, np.float32) for name, value in defaults.items()}
    inputs["present"] = np.zeros(shape, np.float32)
    batch = Batch(indices, np.zeros(shape[:2], np.int64), np.zeros(shape, np.int64), inputs)
    for row, index in enumerate(indices):
        datum = data[index]
        targets = datum.inputs["target_tokens"]
        length, width = len(datum.tokens), targets.size // len(datum.tokens)
        batch.tokens[row, :length] = datum.tokens
        batch.targets[row, :length, :width] = targets.reshape(length, width)
        inputs["present"][row, :length, :width] = 1
        for name, value in datum.inputs.items():
            if name != "target_tokens":
                inputs[name][row, :length, :width] = value.reshape(length, width)
    return batch


def _check_values(spec: ModelSpec, loss: Loss, batch: Batch) -> None:
    for name, tokens in (("tokens", batch.tokens), ("target_tokens", batch.targets)):
        wrong = np.argwhere((tokens < 0) | (tokens >= spec.vocab_size))
        if len(wrong):
            raise EngineError(
                f"datum {batch.indices[wrong[0][0]]}: {name} holds {tokens[tuple(wrong[0])]}, "
                f"expected 0 to {spec.vocab_size - 1}, the model's vocabulary."
            )
    for name in loss.inputs:
        wrong = np.argwhere(~np.isfinite(batch.inputs[name]))
        if len(wrong):
            raise EngineError(f"datum {batch.indices[wrong[0][0]]}: {name} holds a value that is not finite.")
