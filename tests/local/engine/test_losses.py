"""Each loss against its equation in numpy, and its gradient against finite differences, through the engine."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tinkery_local.engine import Adapter, Datum, Engine, EngineError, LoraSpec, LossOutput, Snapshot

Array = NDArray[np.float64]

CONFIGS: dict[str, dict[str, float]] = {
    "cross_entropy": {},
    "importance_sampling": {},
    "ppo": {"clip_low_threshold": 0.9, "clip_high_threshold": 1.3},
    "cispo": {"clip_high_threshold": 1.1},
    "dro": {"beta": 0.3},
    "gspo": {"clip_low_threshold": 0.9, "clip_high_threshold": 1.05},
}


def equation(name: str, p: Array, x: Mapping[str, NDArray[np.generic]]) -> float:
    """The loss of one datum, straight from its definition."""
    if name == "cross_entropy":
        return -float((np.asarray(x["weights"], np.float64) * p).sum())
    q, advantages = np.asarray(x["logprobs"], np.float64), np.asarray(x["advantages"], np.float64)
    ratio, config = np.exp(p - q), CONFIGS[name]
    match name:
        case "importance_sampling":
            return -float((ratio * advantages).sum())
        case "cispo":
            return -float((np.clip(ratio, 0.0, config["clip_high_threshold"]) * p * advantages).sum())
        case "dro":
            return -float((p * advantages - 0.5 * config["beta"] * (p - q) ** 2).sum())
        case _:
            low, high = config["clip_low_threshold"], config["clip_high_threshold"]
            if name == "gspo":
                mask = np.asarray(x["sequence_ratio_mask"], np.float64)
                ratio = np.full_like(p, np.exp((mask * (p - q)).sum() / mask.sum()))
            return -float(np.minimum(ratio * advantages, np.clip(ratio, low, high) * advantages).sum())


def examples(name: str, engine: Engine, adapter: Adapter) -> list[Datum]:
    """Datums of several lengths whose given logprobs lie around the model's own, to both sides of the clips."""
    rng = np.random.default_rng(5)
    data: list[Datum] = []
    for length in (1, 7, 12, 16):
        tokens = rng.integers(0, engine.spec.vocab_size, length + 1).astype(np.int32)
        weights = rng.normal(size=length).astype(np.float32)
        data.append(Datum(tokens[:-1], {"target_tokens": tokens[1:].astype(np.int64), "weights": weights}))
    if name == "cross_entropy":
        return data
    own = engine.forward_backward(adapter, data, "cross_entropy", {}, forward_only=True).logprobs
    return [
        replace(datum, inputs=_policy_inputs(name, datum, p, rng)) for datum, p in zip(data, own, strict=True)
    ]


def _policy_inputs(
    name: str, datum: Datum, p: NDArray[np.float32], rng: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    inputs: dict[str, NDArray[np.generic]] = {
        "target_tokens": datum.inputs["target_tokens"],
        "logprobs": (p + rng.normal(scale=0.3, size=p.shape)).astype(np.float32),
        "advantages": rng.normal(size=p.shape).astype(np.float32),
    }
    if name == "gspo":
        mask = rng.integers(0, 2, p.shape).astype(np.float32)
        mask[-1] = 1
        inputs["sequence_ratio_mask"] = mask
    return inputs


@pytest.fixture(scope="module")
def engine(shallow_engine: Engine) -> Engine:
    return shallow_engine


@pytest.fixture(scope="module")
def adapter(engine: Engine) -> Adapter:
    """An adapter whose B is not zero, so that A has a gradient too."""
    adapter = engine.create_adapter(LoraSpec(rank=3))
    assert adapter.now.weights is not None
    noise = np.random.default_rng(1).normal(scale=0.2, size=adapter.now.weights.shape).astype(np.float32)
    adapter.now = Snapshot(adapter.lora, noise)
    return adapter


def loss_and_gradient(
    engine: Engine, lora: LoraSpec, weights: NDArray[np.float32], name: str, data: list[Datum]
) -> tuple[float, NDArray[np.float32]]:
    adapter = replace(engine.create_adapter(lora), now=Snapshot(lora, weights))
    output = engine.forward_backward(adapter, data, name, CONFIGS[name])
    assert adapter.grads is not None
    return output.metrics["loss:sum"], adapter.grads


@pytest.mark.parametrize("name", CONFIGS)
def test_a_loss_is_the_sum_of_its_equation(name: str, engine: Engine, adapter: Adapter) -> None:
    data = examples(name, engine, adapter)
    output = engine.forward_backward(replace(adapter), data, name, CONFIGS[name])
    assert [logprobs.shape for logprobs in output.logprobs] == [datum.tokens.shape for datum in data]
    expected = sum(
        equation(name, p.astype(np.float64), datum.inputs)
        for p, datum in zip(output.logprobs, data, strict=True)
    )
    np.testing.assert_allclose(output.metrics["loss:sum"], expected, rtol=1e-4)


# CISPO's clipped ratio is a constant to the gradient, which no difference of losses shows; it has a test of its own.
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "cispo"])
def test_a_gradient_is_that_of_finite_differences(name: str, engine: Engine, adapter: Adapter) -> None:
    data = examples(name, engine, adapter)
    lora, weights = adapter.lora, adapter.weights
    _, grads = loss_and_gradient(engine, lora, weights, name, data)
    rng = np.random.default_rng(2)
    for direction in (np.sign(grads), np.sign(grads) * rng.integers(0, 2, grads.shape)):
        step = (direction * 0.03 / abs(grads @ direction)).astype(np.float32)
        ahead, _ = loss_and_gradient(engine, lora, weights + step, name, data)
        behind, _ = loss_and_gradient(engine, lora, weights - step, name, data)
        np.testing.assert_allclose((ahead - behind) / 2, grads @ step, rtol=0.02)


def test_a_forward_pass_tells_the_same_and_adds_nothing(engine: Engine, adapter: Adapter) -> None:
    data = examples("cross_entropy", engine, adapter)
    forward = engine.forward_backward(adapter, data, "cross_entropy", {}, forward_only=True)
    assert adapter.grads is None
    full = engine.forward_backward(replace(adapter), data, "cross_entropy", {})
    np.testing.assert_allclose(forward.metrics["loss:sum"], full.metrics["loss:sum"], rtol=1e-5)
    for one, other in zip(forward.logprobs, full.logprobs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_gradient_of_cispo_takes_the_clipped_ratio_for_a_constant(
    engine: Engine, adapter: Adapter
) -> None:
    data = examples("cispo", engine, adapter)
    cispo, weighted = replace(adapter), replace(adapter)
    own = engine.forward_backward(cispo, data, "cispo", CONFIGS["cispo"]).logprobs
    same: list[Datum] = []
    for p, datum in zip(own, data, strict=True):
        ratio = np.clip(np.exp(p - datum.inputs["logprobs"].astype(np.float32)), 0.0, 1.1)
        weights = (ratio * datum.inputs["advantages"]).astype(np.float32)
        same.append(
            replace(datum, inputs={"target_tokens": datum.inputs["target_tokens"], "weights": weights})
        )
    engine.forward_backward(weighted, same, "cross_entropy", {})
    assert cispo.grads is not None
    assert weighted.grads is not None
    np.testing.assert_allclose(cispo.grads, weighted.grads, rtol=1e-4, atol=1e-5)


def test_cross_entropy_takes_several_targets_a_token(engine: Engine, adapter: Adapter) -> None:
    rng = np.random.default_rng(3)
    tokens = rng.integers(0, 61, 9).astype(np.int32)
    targets, weights = rng.integers(0, 61, (9, 3)), rng.random((9, 3)).astype(np.float32)
    several, singly = replace(adapter), replace(adapter)
    output = engine.forward_backward(
        several, [Datum(tokens, {"target_tokens": targets, "weights": weights})], "cross_entropy", {}
    )
    columns = [Datum(tokens, {"target_tokens": targets[:, k], "weights": weights[:, k]}) for k in range(3)]
    expected = engine.forward_backward(singly, columns, "cross_entropy", {})
    np.testing.assert_allclose(output.logprobs[0], np.stack(expected.logprobs, axis=1), atol=1e-5)
    np.testing.assert_allclose(output.metrics["loss:sum"], expected.metrics["loss:sum"], rtol=1e-5)
    assert several.grads is not None
    assert singly.grads is not None
    np.testing.assert_allclose(several.grads, singly.grads, rtol=1e-4, atol=1e-4)


def test_clip_thresholds_may_come_for_each_token(engine: Engine, adapter: Adapter) -> None:
    data = examples("ppo", engine, adapter)
    tensors = [
        replace(
            datum,
            inputs={**datum.inputs, **{k: np.full(len(datum.tokens), v) for k, v in CONFIGS["ppo"].items()}},
        )
        for datum in data
    ]

    def loss(data: list[Datum], config: dict[str, float]) -> LossOutput:
        return engine.forward_backward(replace(adapter), data, "ppo", config)

    assert loss(tensors, {}).metrics == loss(data, CONFIGS["ppo"]).metrics
    assert loss(tensors, {}).metrics != loss(data, {}).metrics


def _datum(**changes: NDArray[np.generic]) -> Datum:
    inputs: dict[str, NDArray[np.generic]] = {
        "target_tokens": np.array([1, 2, 3]),
        "logprobs": np.zeros(3, np.float32),
        "advantages": np.ones(3, np.float32),
    }
    tokens = np.array([0, 1, 2], np.int32)
    return Datum(tokens, inputs | changes)


@pytest.mark.parametrize(
    ("datum", "message"),
    [
        (_datum(target_tokens=np.array([1, 2])), r"datum 1: target_tokens has shape \[2\], expected \[3\]"),
        (_datum(advantages=np.ones(4, np.float32)), r"datum 1: advantages has shape \[4\], expected \[3\]"),
        (_datum(target_tokens=np.array([1, 61, 3])), "datum 1: target_tokens holds 61, expected 0 to 60"),
        (_datum(logprobs=np.array([0, np.nan, 0])), "datum 1: logprobs holds a value that is not finite"),
        (
            _datum(mask=np.ones(3)),
            "datum 1: importance_sampling does not know the input 'mask', only advantages",
        ),
        (
            Datum(np.array([0], np.int32), {"target_tokens": np.array([1])}),
            "datum 1: .* needs the input 'logprobs'",
        ),
        (Datum(np.zeros(65, np.int32), {}), "datum 1 has 65 tokens, expected 1 to 64"),
        (
            _datum(logprobs=np.full(3, -200, np.float32)),
            "the importance_sampling loss is -inf or its gradient is not finite",
        ),
    ],
)
def test_a_wrong_datum_is_named_and_changes_nothing(
    datum: Datum, message: str, engine: Engine, adapter: Adapter
) -> None:
    trained = replace(adapter)
    with pytest.raises(EngineError, match=message):
        engine.forward_backward(trained, [_datum(), datum], "importance_sampling", {})
    assert trained.grads is None


def test_unknown_losses_and_settings_are_named(engine: Engine, adapter: Adapter) -> None:
    with pytest.raises(
        EngineError, match="loss_fn is 'grpo', expected one of cross_entropy, importance_sampling, ppo"
    ):
        engine.forward_backward(adapter, [_datum()], "grpo", {})
    with pytest.raises(EngineError, match="loss_fn_config of dro has 'clip', expected beta"):
        engine.forward_backward(adapter, [_datum()], "dro", {"clip": 0.2})
