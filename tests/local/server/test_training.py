"""Training through the unmodified client: losses, Adam, failures that cost one request and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import tinker
from numpy.typing import NDArray
from tinker import types
from tinkery_local.engine.checkpoint import Checkpoint, read_checkpoint
from tinkery_local.engine.spec import read_spec

Vector = NDArray[np.floating]


def datum(tokens: list[int], weights: list[float] | None = None) -> types.Datum:
    """Next-token prediction over a sequence."""
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens[:-1]),
        loss_fn_inputs={
            "target_tokens": types.TensorData.from_numpy(np.array(tokens[1:], np.int64)),
            "weights": types.TensorData.from_numpy(
                np.array(weights or [1.0] * (len(tokens) - 1), np.float32)
            ),
        },
    )


def logprobs(output: types.ForwardBackwardOutput) -> list[NDArray[np.float32]]:
    return [np.asarray(record["logprobs"].to_numpy()) for record in output.loss_fn_outputs]


async def trainer(service: tinker.ServiceClient, base_model: str, rank: int = 4) -> tinker.TrainingClient:
    return await service.create_lora_training_client(base_model=base_model, rank=rank, seed=1)


DATA = [datum([1, 2, 3, 4, 5]), datum([7, 8, 9])]


async def test_training_lowers_the_loss(service: tinker.ServiceClient, base_model: str) -> None:
    client = await trainer(service, base_model)
    losses: list[float] = []
    for _ in range(5):
        forward_backward = client.forward_backward(DATA, "cross_entropy")
        step = client.optim_step(types.AdamParams(learning_rate=1e-2))
        losses.append((await forward_backward).metrics["loss:sum"])
        assert (await step).metrics
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.9 * losses[0]


async def test_the_loss_is_a_sum_and_forward_changes_nothing(
    service: tinker.ServiceClient, base_model: str
) -> None:
    client = await trainer(service, base_model)
    output = await client.forward(DATA, "cross_entropy")
    parts = [await client.forward([part], "cross_entropy") for part in DATA]
    assert output.metrics["loss:sum"] == pytest.approx(-sum(map(np.sum, logprobs(output))), rel=1e-5)
    assert output.metrics["loss:sum"] == pytest.approx(
        sum(part.metrics["loss:sum"] for part in parts), rel=1e-5
    )
    for whole, part in zip(logprobs(output), parts, strict=True):
        np.testing.assert_allclose(whole, logprobs(part)[0], rtol=1e-5)
    with pytest.raises(tinker.RequestFailedError, match="no gradient"):
        await client.optim_step(types.AdamParams())


async def test_forward_equals_the_sampler_s_logprobs(service: tinker.ServiceClient, base_model: str) -> None:
    client = await trainer(service, base_model)
    await client.forward_backward(DATA, "cross_entropy")
    await client.optim_step(types.AdamParams(learning_rate=1e-2))
    sampler = await client.save_weights_and_get_sampling_client()
    forward = logprobs(await client.forward(DATA, "cross_entropy"))[0]
    scored = await sampler.compute_logprobs(types.ModelInput.from_ints([1, 2, 3, 4, 5]))
    assert scored[0] is None
    np.testing.assert_allclose(np.array(scored[1:], np.float32), forward, rtol=1e-4, atol=1e-5)


async def test_large_batches_come_in_chunks_and_add_up(
    service: tinker.ServiceClient, base_model: str
) -> None:
    """More datums than the client sends in one request; it posts the first chunk last."""
    client = await trainer(service, base_model)
    data = [datum([index % 200, 3, 4]) for index in range(1100)]
    output = await client.forward(data, "cross_entropy")
    assert len(output.loss_fn_outputs) == len(data)
    assert output.metrics["loss:sum"] == pytest.approx(-sum(map(np.sum, logprobs(output))), rel=1e-4)
    np.testing.assert_allclose(logprobs(output)[0], logprobs(output)[200], rtol=1e-5)


def adam(weights: Vector, grads: list[Vector], params: types.AdamParams) -> Vector:
    """The reference: Adam with bias correction, clipping and decoupled weight decay, in float64."""
    weights = weights.astype(np.float64)
    mean, variance = np.zeros_like(weights), np.zeros_like(weights)
    for step, grad in enumerate(grads, start=1):
        norm = np.linalg.norm(grad)
        if 0 < params.grad_clip_norm < norm:
            grad = grad * params.grad_clip_norm / norm
        mean = params.beta1 * mean + (1 - params.beta1) * grad
        variance = params.beta2 * variance + (1 - params.beta2) * grad**2
        corrected = np.sqrt(variance / (1 - params.beta2**step)) + params.eps
        update = mean / (1 - params.beta1**step) / corrected
        weights = weights - params.learning_rate * (update + params.weight_decay * weights)
    return weights


@pytest.mark.parametrize(
    "params",
    [
        types.AdamParams(learning_rate=1e-2),
        types.AdamParams(
            learning_rate=1e-2, beta1=0.5, beta2=0.7, eps=1e-3, weight_decay=0.1, grad_clip_norm=0.5
        ),
    ],
    ids=["defaults", "all set"],
)
async def test_adam_is_the_one_of_the_api(
    service: tinker.ServiceClient, base_model: str, store: Path, params: types.AdamParams
) -> None:
    """Two steps, seen from outside: weights and waiting gradients are read off checkpoints saved between the calls."""
    client = await trainer(service, base_model)
    spec = read_spec(Path(base_model))

    async def saved(name: str) -> Checkpoint:
        state = await client.save_state(name)
        return read_checkpoint(spec, store / state.path.removeprefix("tinker://"), with_optimizer=True)

    first = (await saved("start")).weights
    grads: list[Vector] = []
    for step, data in enumerate(([DATA[0]], DATA)):
        for part in data:  # gradients of several calls add up
            await client.forward_backward([part], "cross_entropy")
        optimizer = (await saved(f"before {step}")).optimizer
        assert optimizer is not None
        grads.append(optimizer["grads"].astype(np.float64))
        await client.optim_step(params)
    last = (await saved("end")).weights

    expected = adam(first, grads, params)
    assert np.abs(expected - first).max() > 1e-3
    np.testing.assert_allclose(last, expected, rtol=1e-4, atol=1e-6)


async def test_a_failed_request_costs_itself_alone(service: tinker.ServiceClient, base_model: str) -> None:
    client = await trainer(service, base_model)
    wrong = [
        (client.forward_backward([datum([1, 9999])], "cross_entropy"), "9999"),
        (client.forward_backward(DATA, "importance_sampling"), "logprobs"),
        (client.forward_backward(DATA, "ppo", {"clip_lo": 0.1}), "clip_lo"),
        (client.forward_backward([datum(list(range(250)) * 2)], "cross_entropy"), "256"),
        (client.forward_backward([datum([1, 2, 3], [1.0, float("nan")])], "cross_entropy"), "nan|finite"),
    ]
    for future, message in wrong:
        with pytest.raises(tinker.RequestFailedError, match=message) as failed:
            await future
        assert failed.value.category == types.RequestErrorCategory.User
    await client.forward_backward(DATA, "cross_entropy")
    await client.optim_step(types.AdamParams())


async def test_unsupported_things_are_refused_by_name(service: tinker.ServiceClient, base_model: str) -> None:
    client = await trainer(service, base_model)
    image = types.ModelInput(chunks=[types.ImageChunk(data=b"x", format="png", expected_tokens=1)])
    with pytest.raises(tinker.RequestFailedError, match="no images"):
        await client.forward_backward([types.Datum(model_input=image, loss_fn_inputs={})], "cross_entropy")
    with pytest.raises(tinker.RequestFailedError, match="stable_reinforce"):
        await client.forward_backward(DATA, "stable_reinforce")  # pyright: ignore[reportArgumentType]
    with pytest.raises(tinker.RequestFailedError, match="Adam only"):
        await client.optim_step(types.DimuonParams(learning_rate=0.1))
    with pytest.raises(tinker.RequestFailedError, match="exports to no other place"):
        await client.save_weights_external("away")


async def test_an_unknown_model_lists_the_known(service: tinker.ServiceClient, base_model: str) -> None:
    with pytest.raises(tinker.NotFoundError, match=f"not served here, only {base_model}. Did you mean"):
        await service.create_lora_training_client(base_model=base_model + "x")
    with pytest.raises(tinker.UnprocessableEntityError, match="rank: expected 1 to 1024, got -1"):
        await service.create_lora_training_client(base_model=base_model, rank=-1)
