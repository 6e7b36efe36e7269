"""Adapters on disk: what is read back is bit for bit what was written, or an error.

A folder holds `adapter.safetensors` (A and B of each adapted weight), `optimizer.safetensors` if the adapter was in
training (Adam's moments, and gradients not yet applied), and last of all `adapter.json`, which knows the digests of the
others. So half a checkpoint never loads; to let it appear whole is the caller's business, by a rename.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tinkery_local.engine.errors import EngineError
from tinkery_local.engine.lora import LoraSpec, Vector, factors, vector_size
from tinkery_local.engine.spec import ModelSpec

ADAPTER, OPTIMIZER, SUMMARY = "adapter.safetensors", "optimizer.safetensors", "adapter.json"


@dataclass(frozen=True)
class Checkpoint:
    """An adapter's vector, and if it was in training its optimizer's: `mean`, `variance`, perhaps `grads`."""

    lora: LoraSpec
    weights: Vector
    step: int = 0
    optimizer: Mapping[str, Vector] | None = None


def write_checkpoint(spec: ModelSpec, checkpoint: Checkpoint, folder: Path) -> None:
    """Write a new folder; raises OSError if it exists or the disk refuses."""
    files = {ADAPTER: save(_named(spec, checkpoint.lora, checkpoint.weights))}
    if checkpoint.optimizer is not None:
        files[OPTIMIZER] = save(dict(checkpoint.optimizer))
    summary = {
        "lora": asdict(checkpoint.lora),
        "step": checkpoint.step,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")


def read_checkpoint(spec: ModelSpec, folder: Path, with_optimizer: bool) -> Checkpoint:
    """Read a folder back; raises `EngineError` if it is incomplete, damaged, or of a model with other dimensions."""
    try:
        summary = json.loads((folder / SUMMARY).read_bytes())
        lora = LoraSpec(**summary["lora"])
        step, digests = int(summary["step"]), cast("dict[str, str]", summary["sha256"])
        matrices = _read(folder / ADAPTER, digests)
        optimizer = _read(folder / OPTIMIZER, digests) if with_optimizer else None
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise EngineError(f"the checkpoint in {folder} is damaged or incomplete ({reason}).") from None
    weights = np.empty(vector_size(spec, lora), np.float32)
    views = _named(spec, lora, weights)
    if {name: matrix.shape for name, matrix in matrices.items()} != {
        n: view.shape for n, view in views.items()
    }:
        raise EngineError(f"the checkpoint in {folder} belongs to a model of other dimensions.")
    for name, view in views.items():
        view[:] = matrices[name]
    return Checkpoint(lora, weights, step, optimizer)


def _named(spec: ModelSpec, lora: LoraSpec, vector: Vector) -> dict[str, Vector]:
    """Views of an adapter's matrices: `<weight>.lora_A` [rank, in] and `<weight>.lora_B` [out, rank]."""
    pairs = factors(spec, lora, vector)
    return {
        f"{name.removesuffix('.weight')}.lora_{letter}": matrix
        for name, pair in pairs.items()
        for letter, matrix in zip("AB", pair, strict=True)
    }


def _read(file: Path, digests: Mapping[str, str]) -> dict[str, Vector]:
    if file.name not in digests:
        raise ValueError(f"it was saved without {file.name}")
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != digests[file.name]:
        raise ValueError(f"{file.name} is not what was written")
    return load(content)
