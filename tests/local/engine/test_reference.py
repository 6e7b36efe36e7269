"""Logits against transformers.

`reference_logits.npz` holds, for each spec below, the logits [2, 24, V] that transformers 5.23 computed with torch
2.13 on a CPU for `TOKENS`, from the folder that the fixture `random_folder(spec, 7)` writes (`random_weights` in
conftest.py says how its weights are drawn, so none are stored):

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    logits = model(torch.tensor(TOKENS)).logits.detach().numpy()
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tinkery_local.engine import ModelSpec
from tinkery_local.engine.model import forward
from tinkery_local.engine.spec import Llama3Rope, read_spec
from tinkery_local.engine.typed import on_device, program
from tinkery_local.engine.weights import load_weights

SPECS = {
    "llama": ModelSpec("llama", 40, 32, 48, 2, 4, 2, 8, 64, rms_norm_eps=1e-5, rope_theta=500_000.0),
    "llama3_rope": ModelSpec(
        "llama",
        40,
        32,
        48,
        2,
        2,
        1,
        16,
        64,
        rope_scaling=Llama3Rope(8.0, 1.0, 4.0, 16),
        tie_word_embeddings=True,
    ),
    "mistral": ModelSpec("mistral", 40, 32, 48, 2, 4, 1, 12, 64, rope_theta=1_000_000.0),
    "qwen2": ModelSpec("qwen2", 40, 32, 48, 2, 4, 2, 8, 64, tie_word_embeddings=True),
    "qwen3": ModelSpec("qwen3", 40, 32, 48, 2, 4, 2, 16, 64, rope_theta=1_000_000.0),
}
TOKENS = np.random.default_rng(0).integers(0, 40, (2, 24)).astype(np.int32)


@pytest.mark.parametrize("name", SPECS)
def test_logits_are_those_of_transformers(name: str, random_folder: Callable[[ModelSpec, int], Path]) -> None:
    folder = random_folder(SPECS[name], 7)
    spec = read_spec(folder)
    assert spec == SPECS[name]
    params = {name: on_device(weight) for name, weight in load_weights(folder, spec).items()}
    logits = np.asarray(program(static=("spec",))(forward)(spec, params, on_device(TOKENS)))
    expected = np.load(Path(__file__).with_name("reference_logits.npz"))[name]
    assert np.ptp(expected) > 5
    np.testing.assert_allclose(logits, expected, atol=2e-4, rtol=0)
