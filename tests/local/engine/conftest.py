"""Small random models for the engine's tests."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tinkery_local.engine import Engine, ModelSpec
from tinkery_local.engine.weights import Weights, save_folder, weight_shapes

TINY = ModelSpec(
    model_type="qwen3",
    vocab_size=61,
    hidden_size=32,
    intermediate_size=56,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=12,
    max_position_embeddings=64,
    rope_theta=1000.0,
    tie_word_embeddings=True,
    eos_token_ids=(60,),
)


def random_weights(spec: ModelSpec, seed: int) -> Weights:
    """Weights that leave nothing at one or zero: so that a norm, a bias or a head that is ignored shows.

    For each tensor in the order of its name: `default_rng([seed, index]).standard_normal`, times 0.3 and plus 1
    for norms, times 0.3 for biases, times `2 / sqrt(in)` for matrices.
    """
    weights: Weights = {}
    for index, (name, shape) in enumerate(sorted(weight_shapes(spec).items())):
        draw = np.random.default_rng([seed, index]).standard_normal(shape)
        if len(shape) == 2:
            draw *= 2 / np.sqrt(shape[1])
        else:
            draw = 0.3 * draw + (0 if name.endswith("bias") else 1)
        weights[name] = draw.astype(np.float32)
    return weights


@pytest.fixture(scope="session")
def random_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ModelSpec, int], Path]:
    """A model folder with random weights, made once for each spec and seed."""
    made: dict[tuple[ModelSpec, int], Path] = {}

    def make(spec: ModelSpec, seed: int) -> Path:
        if (spec, seed) not in made:
            made[spec, seed] = tmp_path_factory.mktemp("model")
            save_folder(made[spec, seed], spec, random_weights(spec, seed))
        return made[spec, seed]

    return make


@pytest.fixture(scope="session")
def shallow_engine(random_folder: Callable[[ModelSpec, int], Path]) -> Engine:
    """One layer, for tests that compile many programs."""
    return Engine(random_folder(replace(TINY, num_hidden_layers=1), 0))


@pytest.fixture(scope="session")
def engine(random_folder: Callable[[ModelSpec, int], Path]) -> Engine:
    """One engine for all tests, so that each program is compiled once; tests share no adapter."""
    return Engine(random_folder(TINY, 0))
