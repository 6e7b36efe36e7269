"""Accumulation, Adam, snapshots and checkpoints."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tinkery_local.engine import (
    AdamParams,
    Adapter,
    Datum,
    Engine,
    EngineError,
    LoraSpec,
    SampleRequest,
    SampleResult,
    compilations,
)
from tinkery_local.engine.adam import Moments, adam_step

LORA = LoraSpec(rank=4, seed=3)


def data(seed: int, count: int = 5) -> list[Datum]:
    rng = np.random.default_rng(seed)
    made: list[Datum] = []
    for _ in range(count):
        length = int(rng.integers(3, 15))
        tokens = rng.integers(0, 61, length + 1).astype(np.int32)
        weights = rng.random(length).astype(np.float32)
        made.append(Datum(tokens[:-1], {"target_tokens": tokens[1:], "weights": weights}))
    return made


def train(engine: Engine, adapter: Adapter, seeds: range) -> list[float]:
    """One step of cross entropy for each seed; returns the losses."""
    losses: list[float] = []
    for seed in seeds:
        output = engine.forward_backward(adapter, data(seed), "cross_entropy", {})
        losses.append(output.metrics["loss:sum"])
        engine.optim_step(adapter, AdamParams(learning_rate=1e-2, weight_decay=0.01, grad_clip_norm=1.0))
    return losses


def grads(adapter: Adapter) -> NDArray[np.float32]:
    assert adapter.grads is not None
    return adapter.grads


def adam_in_plain_python(
    params: AdamParams, weights: list[float], gradients: list[list[float]]
) -> list[float]:
    """Kingma and Ba's algorithm 1, a number at a time in float64, with decay beside it and the norm clipped."""
    mean, variance = [0.0] * len(weights), [0.0] * len(weights)
    for step, gradient in enumerate(gradients, start=1):
        norm = sum(g * g for g in gradient) ** 0.5
        if params.grad_clip_norm and norm > params.grad_clip_norm:
            gradient = [g * params.grad_clip_norm / norm for g in gradient]
        for i, g in enumerate(gradient):
            mean[i] = params.beta1 * mean[i] + (1 - params.beta1) * g
            variance[i] = params.beta2 * variance[i] + (1 - params.beta2) * g * g
            m, v = mean[i] / (1 - params.beta1**step), variance[i] / (1 - params.beta2**step)
            weights[i] -= params.learning_rate * (
                m / (v**0.5 + params.eps) + params.weight_decay * weights[i]
            )
    return weights


@pytest.mark.parametrize(
    "params",
    [
        AdamParams(),
        AdamParams(learning_rate=0.05, beta1=0.5, beta2=0.7, eps=0.1),
        AdamParams(learning_rate=0.05, weight_decay=0.3),
        AdamParams(learning_rate=0.05, eps=0.5, grad_clip_norm=1.5),
    ],
)
def test_adam_is_adam(params: AdamParams) -> None:
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=6), rng.normal(size=(4, 6))
    vector, moments = start.astype(np.float32), Moments(np.zeros(6, np.float32), np.zeros(6, np.float32))
    for gradient in gradients:
        vector, moments, norm = adam_step(params, vector, moments, gradient.astype(np.float32))
        np.testing.assert_allclose(norm, np.linalg.norm(gradient), rtol=1e-6)
    expected = adam_in_plain_python(params, start.tolist(), gradients.tolist())
    np.testing.assert_allclose(vector, expected, rtol=2e-5)
    assert vector.dtype == moments.mean.dtype == moments.variance.dtype == np.float32


@pytest.mark.parametrize(
    "wrong", [{"learning_rate": float("nan")}, {"eps": -1.0}, {"eps": 0.0}, {"beta1": 1.0}]
)
def test_adam_refuses_numbers_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(EngineError, match=f"AdamParams.{next(iter(wrong))} is"):
        AdamParams(**wrong)


def test_training_learns(engine: Engine) -> None:
    adapter = engine.create_adapter(LORA)
    first = engine.forward_backward(adapter, data(0), "cross_entropy", {}, forward_only=True)
    for _ in range(30):
        engine.forward_backward(adapter, data(0), "cross_entropy", {})
        metrics = engine.optim_step(adapter, AdamParams(learning_rate=2e-2))
        assert metrics["grad_norm"] > 0
    last = engine.forward_backward(adapter, data(0), "cross_entropy", {}, forward_only=True)
    assert last.metrics["loss:sum"] < 0.5 * first.metrics["loss:sum"]


def test_gradients_of_several_calls_add_up(engine: Engine) -> None:
    batch = data(1, count=6)
    together, apart = engine.create_adapter(LORA), engine.create_adapter(LORA)
    engine.forward_backward(together, batch, "cross_entropy", {})
    engine.forward_backward(apart, batch[:2], "cross_entropy", {})
    engine.forward_backward(apart, batch[2:], "cross_entropy", {})
    np.testing.assert_allclose(grads(apart), grads(together), atol=1e-4)
    engine.optim_step(apart, AdamParams())
    assert apart.grads is None


def test_many_datums_are_more_batches_of_the_same_shape(engine: Engine) -> None:
    one, two = data(2, count=1), data(3, count=1)
    adapter = engine.create_adapter(LORA)
    alone = [
        engine.forward_backward(adapter, datum, "cross_entropy", {}, True).logprobs[0] for datum in (one, two)
    ]
    many = engine.forward_backward(adapter, (one + two) * 150, "cross_entropy", {}, True).logprobs
    assert len(many) == 300
    for index, logprobs in enumerate(many):
        np.testing.assert_array_equal(logprobs, alone[index % 2])


def test_another_batch_size_or_sampling_request_compiles_nothing(engine: Engine) -> None:
    """One batch and one sample compile all that there is for their lengths, whatever their number."""
    adapter = engine.create_adapter(LORA)
    prompt = np.array([5, 6, 7], np.int32)

    def work(count: int) -> None:
        engine.forward_backward(adapter, data(count, count), "cross_entropy", {})
        engine.optim_step(adapter, AdamParams())
        for _ in range(count):
            engine.sampler.submit(SampleRequest(engine.snapshot(adapter), prompt, max_tokens=4))
        while engine.sampler.busy:
            engine.sampler.step()

    work(3)
    before, _ = compilations()
    assert before
    for count in (1, 2, 7, 40):
        work(count)
    assert compilations()[0] == before


@pytest.mark.parametrize(
    ("lora", "changed"),
    [
        (LoraSpec(rank=2, train_mlp=False, train_unembed=False), "self_attn"),
        (LoraSpec(rank=2, train_attn=False, train_unembed=False), "mlp"),
        (LoraSpec(rank=2, train_attn=False, train_mlp=False), "lm_head"),
    ],
)
def test_an_adapter_changes_only_what_it_may(
    lora: LoraSpec, changed: str, shallow_engine: Engine, tmp_path: Path
) -> None:
    adapter = shallow_engine.create_adapter(lora)
    train(shallow_engine, adapter, range(1))
    shallow_engine.save(adapter, tmp_path / "saved")
    names = json.loads(_header(tmp_path / "saved" / "adapter.safetensors"))
    assert names
    assert all(changed in name for name in names)


def _header(file: Path) -> bytes:
    content = file.read_bytes()
    return content[8 : 8 + int.from_bytes(content[:8], "little")]


def test_an_adapter_of_nothing_is_refused() -> None:
    with pytest.raises(EngineError, match="Nothing to train"):
        LoraSpec(train_attn=False, train_mlp=False, train_unembed=False)
    with pytest.raises(EngineError, match="LoRA rank is 0"):
        LoraSpec(rank=0)


def test_a_step_needs_a_finite_gradient(engine: Engine) -> None:
    adapter = engine.create_adapter(LORA)
    with pytest.raises(EngineError, match="call forward_backward before optim_step"):
        engine.optim_step(adapter, AdamParams())
    engine.forward_backward(adapter, data(0), "cross_entropy", {})
    before = grads(adapter).copy()
    huge = [
        replace(datum, inputs={**datum.inputs, "weights": np.full(len(datum.tokens), 1e38)})
        for datum in data(0)
    ]
    with pytest.raises(EngineError, match="its gradient is not finite; nothing was added"):
        engine.forward_backward(adapter, huge, "cross_entropy", {})
    np.testing.assert_array_equal(grads(adapter), before)


def sample(engine: Engine, adapter: Adapter) -> tuple[list[int], list[float]]:
    ticket = engine.sampler.submit(
        SampleRequest(
            engine.snapshot(adapter), np.array([5, 6, 7], np.int32), max_tokens=9, seed=1, stop_tokens=()
        )
    )
    while engine.sampler.busy:
        for done in engine.sampler.step():
            assert done.ticket == ticket
            assert isinstance(done.outcome, SampleResult)
            sequence = done.outcome.sequences[0]
            return sequence.tokens.tolist(), sequence.logprobs.tolist()
    raise AssertionError("the sampler lost a request")


def test_a_snapshot_stays_what_it_was(engine: Engine) -> None:
    adapter = engine.create_adapter(LORA)
    train(engine, adapter, range(2))
    old = Adapter(adapter.lora, engine.snapshot(adapter), adapter.moments)
    drawn = sample(engine, old)
    train(engine, adapter, range(2, 5))
    assert sample(engine, adapter) != drawn
    trained = adapter.weights.copy()
    assert sample(engine, old) == drawn
    np.testing.assert_array_equal(adapter.weights, trained)
    untouched = engine.create_adapter(LORA)
    train(engine, untouched, range(5))
    np.testing.assert_array_equal(untouched.weights, trained)


def test_training_goes_on_from_a_checkpoint_bit_for_bit(engine: Engine, tmp_path: Path) -> None:
    adapter = engine.create_adapter(LORA)
    train(engine, adapter, range(3))
    engine.forward_backward(adapter, data(9), "cross_entropy", {})
    engine.save(adapter, tmp_path / "saved")
    loaded = engine.load_adapter(tmp_path / "saved", with_optimizer=True)
    assert loaded.lora == LORA
    losses: list[list[float]] = []
    for each in (adapter, loaded):
        engine.optim_step(each, AdamParams(learning_rate=1e-2))
        losses.append(train(engine, each, range(10, 13)))
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(loaded.weights, adapter.weights)
    np.testing.assert_array_equal(loaded.moments.variance, adapter.moments.variance)


def test_without_its_optimizer_a_checkpoint_is_weights_only(engine: Engine, tmp_path: Path) -> None:
    adapter = engine.create_adapter(LORA)
    train(engine, adapter, range(3))
    engine.save(adapter, tmp_path / "adapter")
    engine.save(engine.snapshot(adapter), tmp_path / "snapshot")
    for folder in (tmp_path / "adapter", tmp_path / "snapshot"):
        loaded = engine.load_adapter(folder, with_optimizer=False)
        np.testing.assert_array_equal(loaded.weights, adapter.weights)
        assert loaded.moments.step == 0
        assert not loaded.moments.mean.any()
        np.testing.assert_array_equal(engine.load_snapshot(folder).weights, adapter.weights)
    with pytest.raises(EngineError, match=r"saved without optimizer\.safetensors"):
        engine.load_adapter(tmp_path / "snapshot", with_optimizer=True)


@pytest.mark.parametrize("file", ["adapter.json", "adapter.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "short", "changed"])
def test_a_damaged_checkpoint_is_an_error(file: str, damage: str, engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    adapter = engine.create_adapter(LORA)
    engine.save(adapter, folder)
    content = bytearray((folder / file).read_bytes())
    (folder / file).unlink()
    if damage == "short":
        (folder / file).write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        content[-3] ^= 1
        (folder / file).write_bytes(content)
    with pytest.raises(EngineError, match="is damaged or incomplete"):
        engine.load_adapter(folder, with_optimizer=True)


def test_a_checkpoint_never_replaces_another(engine: Engine, tmp_path: Path) -> None:
    adapter = engine.create_adapter(LORA)
    engine.save(adapter, tmp_path / "saved")
    with pytest.raises(FileExistsError):
        engine.save(adapter, tmp_path / "saved")
    with pytest.raises(EngineError, match="the base model itself has nothing to save"):
        engine.save(engine.base, tmp_path / "base")
