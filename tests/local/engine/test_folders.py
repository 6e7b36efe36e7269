"""Model folders: what is read, and what is said of one that cannot be."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tinkery_local.engine import Engine, EngineError, ModelSpec
from tinkery_local.engine.spec import read_spec
from tinkery_local.engine.typed import write_tensors
from tinkery_local.engine.weights import Weights, init_weights, load_weights, save_folder

SPEC = ModelSpec("llama", 11, 8, 12, 1, 2, 1, 4, 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_folder(tmp_path, SPEC, init_weights(SPEC, 0))
    return tmp_path


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_was_saved_is_read_back(folder: Path) -> None:
    assert read_spec(folder) == SPEC
    loaded, weights = load_weights(folder, SPEC), init_weights(SPEC, 0)
    assert list(loaded) == list(weights)
    for name, weight in weights.items():
        np.testing.assert_array_equal(loaded[name], weight)


def test_fresh_weights_are_scaled_by_their_fan_in() -> None:
    spec = ModelSpec("qwen2", 256, 64, 96, 1, 4, 2, 16, 32)
    weights = init_weights(spec, 1)
    for name, weight in weights.items():
        if weight.ndim == 2:
            np.testing.assert_allclose(weight.std(), weight.shape[1] ** -0.5, rtol=0.1)
        else:
            assert (weight == (0 if name.endswith("bias") else 1)).all()
    assert not np.array_equal(init_weights(spec, 2)["lm_head.weight"], weights["lm_head.weight"])


def test_shards_and_half_precision_are_read(folder: Path) -> None:
    weights = init_weights(SPEC, 3)
    names = sorted(weights)
    shards = {"a.safetensors": names[:4], "b.safetensors": names[4:]}
    for file, part in shards.items():
        write_tensors(folder / file, {name: weights[name].astype(np.float16) for name in part})
    index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    loaded = load_weights(folder, SPEC)
    for name, weight in weights.items():
        assert loaded[name].dtype == np.float32
        np.testing.assert_allclose(loaded[name], weight, atol=2e-3)


def test_bfloat16_is_read(folder: Path) -> None:
    """Written by hand: a bfloat16 is the upper half of a float32."""
    weights = init_weights(SPEC, 4)
    header, content = dict[str, object](), b""
    for name, weight in weights.items():
        start = len(content)
        content += weight.view(np.uint32).__rshift__(16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": weight.shape, "data_offsets": [start, len(content)]}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content)
    for name, weight in load_weights(folder, SPEC).items():
        np.testing.assert_array_equal(weight, (weights[name].view(np.uint32) & 0xFFFF0000).view(np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2', expected one of llama, mistral, qwen2, qwen3"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; this engine only knows hidden_act = 'silu'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"vocab_size": None}, "vocab_size is None, expected a positive number"),
        ({"hidden_size": "big"}, "hidden_size is 'big', expected a positive number"),
        ({"num_hidden_layers": 1.5}, "num_hidden_layers is 1.5, expected a whole number"),
        ({"num_attention_heads": 3, "num_key_value_heads": 2}, "num_attention_heads must be a multiple"),
        ({"head_dim": 5}, "head_dim is 5, expected an even number"),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
            "rope_type is 'yarn', expected 'default' or 'llama3'",
        ),
    ],
)
def test_a_config_that_is_not_computed_exactly_is_refused(
    changes: dict[str, object], message: str, folder: Path
) -> None:
    edit(folder, **changes)
    with pytest.raises(EngineError, match=message):
        read_spec(folder)


def test_settings_that_hide_in_odd_places_are_found(folder: Path) -> None:
    edit(folder, rope_theta=None, rope_parameters={"rope_type": "default", "rope_theta": 7e5}, eos_token_id=2)
    assert read_spec(folder).rope_theta == 7e5
    assert read_spec(folder).eos_token_ids == (2,)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [4, 5]}))
    assert read_spec(folder).eos_token_ids == (4, 5)
    edit(folder, model_type="mistral", sliding_window=20)
    assert read_spec(folder).max_position_embeddings == 20
    edit(folder, model_type="qwen2", use_sliding_window=False)
    assert read_spec(folder).max_position_embeddings == 32


def broken(change: Callable[[Weights], None]) -> Weights:
    weights = init_weights(SPEC, 0)
    change(weights)
    return weights


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (broken(lambda w: w.__delitem__("model.norm.weight")), "the weights lack model.norm.weight"),
        (
            broken(lambda w: w.update({"model.norm.weight": np.ones(9, np.float32)})),
            r"model.norm.weight has shape \(9,\), config.json asks for \(8,\)",
        ),
        (
            broken(lambda w: w["lm_head.weight"].__setitem__((0, 0), np.nan)),
            "lm_head.weight holds values that are not finite",
        ),
    ],
)
def test_wrong_weights_are_named(weights: Weights, message: str, folder: Path) -> None:
    save_folder(folder, SPEC, weights)
    with pytest.raises(EngineError, match=message):
        Engine(folder)


def test_a_folder_that_is_no_model_says_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"config\.json does not exist; a model folder holds config\.json"):
        Engine(tmp_path / "nowhere")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:100])
    with pytest.raises(EngineError, match=r"model\.safetensors cannot be read"):
        Engine(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(EngineError, match=r"model\.safetensors cannot be read"):
        Engine(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(EngineError, match=r"config\.json is not JSON"):
        Engine(folder)
