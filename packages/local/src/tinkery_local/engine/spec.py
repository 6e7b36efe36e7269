"""What a decoder of the Llama family looks like, read from a Hugging Face `config.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tinkery_local.engine.errors import EngineError

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}


@dataclass(frozen=True)
class Llama3Rope:
    """Llama 3.1's stretching of the slow RoPE frequencies, named as in `config.json`'s `rope_scaling`."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True)
class ModelSpec:
    """Dimensions and switches of a Llama, Mistral, Qwen2 or Qwen3 decoder.

    Field names are those of `config.json`. What an architecture implies without saying it there
    (`qkv_bias` of Qwen2, `qk_norm` of Qwen3) follows from `model_type`.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    rope_scaling: Llama3Rope | None = None
    tie_word_embeddings: bool = False
    eos_token_ids: tuple[int, ...] = ()

    @property
    def qkv_bias(self) -> bool:
        return self.model_type == "qwen2"

    @property
    def qk_norm(self) -> bool:
        return self.model_type == "qwen3"

    @property
    def size(self) -> int:
        """Number of weights in the matrices of all layers and the embedding: a scale for work and memory."""
        heads = (2 * self.num_attention_heads + 2 * self.num_key_value_heads) * self.head_dim
        layer = self.hidden_size * (heads + 3 * self.intermediate_size)
        return self.num_hidden_layers * layer + self.vocab_size * self.hidden_size

    def to_config(self) -> dict[str, object]:
        """The `config.json` from which `read_spec` makes an equal spec."""
        config: dict[str, object] = {
            "architectures": [ARCHITECTURES[self.model_type]],
            "model_type": self.model_type,
            "hidden_act": "silu",
            "torch_dtype": "float32",
            "eos_token_id": list(self.eos_token_ids),
        }
        plain = (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
            "max_position_embeddings",
            "rms_norm_eps",
            "rope_theta",
            "tie_word_embeddings",
        )
        config |= {name: getattr(self, name) for name in plain}
        if self.rope_scaling is not None:
            config["rope_scaling"] = {"rope_type": "llama3"} | vars(self.rope_scaling)
        return config


class _Fields:
    """Typed access to a JSON object, with errors that name the file and the field."""

    def __init__(self, values: Mapping[str, object], where: str) -> None:
        self.values = values
        self.where = where

    def get(self, key: str, default: object = None) -> object:
        value = self.values.get(key)
        return default if value is None else value

    def number(self, key: str, default: float | None = None) -> float:
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise EngineError(f"{self.where}: {key} is {value!r}, expected a positive number.")
        return float(value)

    def count(self, key: str, default: int | None = None) -> int:
        value = self.number(key, default)
        if value != int(value):
            raise EngineError(f"{self.where}: {key} is {value!r}, expected a whole number.")
        return int(value)

    def require(self, key: str, expected: object) -> None:
        if self.get(key, expected) != expected:
            raise EngineError(
                f"{self.where}: {key} is {self.values[key]!r}; this engine only knows {key} = {expected!r}."
            )


def read_spec(folder: Path) -> ModelSpec:
    """Read a model folder's `config.json`, and the end-of-sequence tokens of its `generation_config.json`.

    Raises `EngineError` naming the field if the architecture is not one that the engine computes exactly.
    """
    path = folder / "config.json"
    fields = _Fields(_read_json(path), str(path))
    model_type = fields.get("model_type")
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        raise EngineError(
            f"{path}: model_type is {model_type!r}, expected one of {', '.join(ARCHITECTURES)}."
        )
    fields.require("hidden_act", "silu")
    fields.require("mlp_bias", False)
    if model_type != "qwen2":
        fields.require("attention_bias", False)
    heads = fields.count("num_attention_heads")
    hidden = fields.count("hidden_size")
    spec = ModelSpec(
        model_type=model_type,
        vocab_size=fields.count("vocab_size"),
        hidden_size=hidden,
        intermediate_size=fields.count("intermediate_size"),
        num_hidden_layers=fields.count("num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=fields.count("num_key_value_heads", heads),
        head_dim=fields.count("head_dim", hidden // heads),
        max_position_embeddings=_context(fields, model_type),
        rms_norm_eps=fields.number("rms_norm_eps", 1e-6),
        rope_theta=_rope_theta(fields),
        rope_scaling=_rope_scaling(fields),
        tie_word_embeddings=fields.get("tie_word_embeddings", False) is True,
        eos_token_ids=_eos(folder, fields),
    )
    if heads % spec.num_key_value_heads:
        raise EngineError(f"{path}: num_attention_heads must be a multiple of num_key_value_heads.")
    if spec.head_dim % 2:
        raise EngineError(f"{path}: head_dim is {spec.head_dim}, expected an even number (RoPE turns pairs).")
    return spec


def _context(fields: _Fields, model_type: str) -> int:
    """Sliding windows are not computed; within the first window they change nothing, so the context ends there."""
    context = fields.count("max_position_embeddings")
    if fields.get("sliding_window") is not None and fields.get("use_sliding_window", model_type == "mistral"):
        return min(context, fields.count("sliding_window"))
    return context


def _rope(fields: _Fields) -> Mapping[str, object]:
    """RoPE's settings: `rope_parameters` since transformers 5, `rope_scaling` before."""
    value = fields.get("rope_parameters", fields.get("rope_scaling"))
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _rope_theta(fields: _Fields) -> float:
    rope = _Fields(_rope(fields), f"{fields.where}: rope_parameters")
    return rope.number("rope_theta", fields.number("rope_theta", 10_000.0))


def _rope_scaling(fields: _Fields) -> Llama3Rope | None:
    rope = _Fields(_rope(fields), f"{fields.where}: rope_scaling")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind != "llama3":
        raise EngineError(f"{rope.where}: rope_type is {kind!r}, expected 'default' or 'llama3'.")
    return Llama3Rope(
        factor=rope.number("factor"),
        low_freq_factor=rope.number("low_freq_factor"),
        high_freq_factor=rope.number("high_freq_factor"),
        original_max_position_embeddings=rope.count("original_max_position_embeddings"),
    )


def _eos(folder: Path, fields: _Fields) -> tuple[int, ...]:
    value = fields.get("eos_token_id")
    generation = folder / "generation_config.json"
    if generation.is_file():
        value = _read_json(generation).get("eos_token_id", value)
    tokens = cast("list[object]", value) if isinstance(value, list) else [value]
    return tuple(token for token in tokens if isinstance(token, int))


def _read_json(path: Path) -> dict[str, object]:
    try:
        value: object = json.loads(path.read_text())
    except FileNotFoundError:
        raise EngineError(
            f"{path} does not exist; a model folder holds config.json and *.safetensors."
        ) from None
    except ValueError as error:
        raise EngineError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise EngineError(f"{path} is not a JSON object.")
    return cast("dict[str, object]", value)
