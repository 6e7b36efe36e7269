"""A model's weights: their names and shapes, on disk, and freshly drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from tinkery_local.engine.errors import EngineError
from tinkery_local.engine.model import EMBED, HEAD
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.typed import read_tensors, write_tensors

Weights = dict[str, NDArray[np.float32]]


def weight_shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Every tensor of the model by its Hugging Face name; matrices are [out, in]."""
    D, F, d = spec.hidden_size, spec.intermediate_size, spec.head_dim
    queries, keys = spec.num_attention_heads * d, spec.num_key_value_heads * d
    shapes: dict[str, tuple[int, ...]] = {EMBED: (spec.vocab_size, D)}
    for layer in range(spec.num_hidden_layers):
        name = f"model.layers.{layer}."
        shapes |= {
            name + "input_layernorm.weight": (D,),
            name + "self_attn.q_proj.weight": (queries, D),
            name + "self_attn.k_proj.weight": (keys, D),
            name + "self_attn.v_proj.weight": (keys, D),
            name + "self_attn.o_proj.weight": (D, queries),
            name + "post_attention_layernorm.weight": (D,),
            name + "mlp.gate_proj.weight": (F, D),
            name + "mlp.up_proj.weight": (F, D),
            name + "mlp.down_proj.weight": (D, F),
        }
        if spec.qkv_bias:
            sizes = {"q": queries, "k": keys, "v": keys}
            shapes |= {f"{name}self_attn.{which}_proj.bias": (size,) for which, size in sizes.items()}
        if spec.qk_norm:
            shapes |= {f"{name}self_attn.{which}_norm.weight": (d,) for which in "qk"}
    shapes["model.norm.weight"] = (D,)
    if not spec.tie_word_embeddings:
        shapes[HEAD] = (spec.vocab_size, D)
    return shapes


def init_weights(spec: ModelSpec, seed: int) -> Weights:
    """Fresh weights by fan-in: norms one, biases zero, matrices normal with deviation `in ** -0.5`.

    Drawn by numpy, which is much faster here than compiling a random program for each shape.
    """
    rng = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if len(shape) == 1:
            return np.full(shape, 0.0 if name.endswith("bias") else 1.0, np.float32)
        return rng.standard_normal(shape, np.float32) * np.float32(shape[1] ** -0.5)

    return {name: draw(name, shape) for name, shape in weight_shapes(spec).items()}


def save_folder(folder: Path, spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Write `config.json` and `model.safetensors`, as transformers would read them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(spec.to_config(), indent=2) + "\n")
    write_tensors(folder / "model.safetensors", weights)


def load_weights(folder: Path, spec: ModelSpec) -> Weights:
    """Read all tensors of a model folder as float32, from one file or from the shards of an index.

    Raises `EngineError` for a missing or unreadable file, a missing tensor, a wrong shape, a weight that
    is not finite.
    """
    found: Weights = {}
    shapes = weight_shapes(spec)
    for file in _files(folder):
        try:
            tensors = read_tensors(file)
        except (OSError, SafetensorError) as error:
            raise EngineError(f"{file} cannot be read: {error}") from None
        found |= {name: tensor.astype(np.float32) for name, tensor in tensors.items() if name in shapes}
    for name, shape in shapes.items():
        if name not in found:
            raise EngineError(f"{folder}: the weights lack {name}, which config.json asks for.")
        if found[name].shape != shape:
            raise EngineError(
                f"{folder}: {name} has shape {found[name].shape}, config.json asks for {shape}."
            )
        if not np.isfinite(found[name]).all():
            raise EngineError(f"{folder}: {name} holds values that are not finite.")
    return {name: found[name] for name in shapes}


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return [folder / "model.safetensors"]
    try:
        names: dict[str, str] = json.loads(index.read_text())["weight_map"]
    except (ValueError, KeyError) as error:
        raise EngineError(f"{index} is not an index of safetensors files: {error!r}") from None
    return [folder / name for name in sorted(set(names.values()))]
