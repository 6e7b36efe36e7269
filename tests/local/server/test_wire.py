"""The codec against the client's own: what one side writes, the other reads back."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tinker import types
from tinker.proto.request_conv import forward_backward_request_to_proto
from tinker.proto.response_conv import deserialize_forward_backward_output, deserialize_sample_response
from tinker.types.forward_backward_input import ForwardBackwardInput
from tinker.types.forward_backward_request import ForwardBackwardRequest
from tinkery_local.engine import EngineError, LossOutput, SampledSequence, SampleResult, TopkLogprobs
from tinkery_local.errors import RequestError
from tinkery_local.wire import sampling, training
from tinkery_local.wire.fields import Fields
from tinkery_local.wire.tinkery_wire_pb2 import FLOAT32
from tinkery_local.wire.tinkery_wire_pb2 import ForwardBackwardRequest as WireRequest

tokens = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=6)
floats = st.floats(-1e6, 1e6, width=32)


def client_bytes(data: list[types.Datum], config: dict[str, float | str] | None = None) -> bytes:
    call = ForwardBackwardInput(data=data, loss_fn="ppo", loss_fn_config=config)
    request = ForwardBackwardRequest(forward_backward_input=call, model_id="m", seq_id=3)
    return forward_backward_request_to_proto(request).SerializeToString()


def decode(data: list[types.Datum], config: dict[str, float | str] | None = None) -> training.LossCall:
    return training.decode(training.read_request(client_bytes(data, config)))


@given(st.lists(tokens, max_size=3), st.dictionaries(st.text(max_size=5), floats, max_size=3))
def test_a_request_arrives_as_the_client_wrote_it(chunks: list[list[int]], config: dict[str, float]) -> None:
    prompt = types.ModelInput(chunks=[types.EncodedTextChunk(tokens=chunk) for chunk in chunks])
    advantages = np.arange(prompt.length, dtype=np.float32)
    datum = types.Datum(
        model_input=prompt,
        loss_fn_inputs={
            "target_tokens": types.TensorData.from_numpy(np.arange(prompt.length, dtype=np.int64)),
            "advantages": types.TensorData.from_numpy(advantages),
        },
    )

    call = decode([datum], dict(config))

    assert call.loss_fn == "ppo" and call.config == config and not call.forward_only
    (read,) = call.data
    assert read.tokens.tolist() == prompt.to_ints()
    np.testing.assert_array_equal(read.inputs["advantages"], advantages)
    assert read.inputs["target_tokens"].dtype == np.int64


@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_a_sparse_tensor_is_unfolded(rows: int, columns: int, data: st.DataObject) -> None:
    cells = st.sampled_from([0.0, 1.5])
    dense = np.array([[data.draw(cells) for _ in range(columns)] for _ in range(rows)], np.float32)
    column_indices = [np.flatnonzero(row) for row in dense]
    sparse = types.TensorData(
        data=dense[dense != 0],
        dtype="float32",
        shape=[rows, columns],
        sparse_crow_indices=[0, *np.cumsum([len(row) for row in column_indices]).tolist()],
        sparse_col_indices=np.concatenate(column_indices).tolist(),
    )
    datum = types.Datum(model_input=types.ModelInput.from_ints([1]), loss_fn_inputs={"weights": sparse})

    np.testing.assert_array_equal(decode([datum]).data[0].inputs["weights"], dense)


def test_what_is_no_text_or_no_number_is_named() -> None:
    image = types.ModelInput(chunks=[types.ImageChunk(data=b"x", format="png", expected_tokens=1)])
    with pytest.raises(EngineError, match=r"data\[0\]\.model_input: .*text only, no images"):
        decode([types.Datum(model_input=image, loss_fn_inputs={})])
    with pytest.raises(EngineError, match=r"loss_fn_config\['graph'\]: expected a number, got the text 'g'"):
        decode([], {"graph": "g"})


def test_tensors_that_do_not_fit_their_shape_are_refused() -> None:
    request = WireRequest()
    tensor = request.data.add().loss_fn_inputs["weights"]
    tensor.dtype, tensor.dense = FLOAT32, b"\0" * 12
    tensor.shape.extend([2, 2])
    with pytest.raises(EngineError, match=r"data\[0\]\.weights: 3 values don't fill the shape \[2, 2\]"):
        training.decode(request)
    tensor.dense = b"\0" * 5
    with pytest.raises(EngineError, match=r"5 bytes are not a whole number of float32"):
        training.decode(request)
    tensor.sparse_csr.crow_indices = np.array([0, 2**40]).tobytes()
    with pytest.raises(EngineError, match=r"not a sparse CSR matrix"):
        training.decode(request)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(EngineError, RequestError):
        training.decode(training.read_request(body))


@given(st.lists(st.sampled_from([(2,), (5,), (3, 2), (0,)]), max_size=5))
def test_the_client_reads_the_logprobs(shapes: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(0)
    logprobs: list[NDArray[np.float32]] = [rng.standard_normal(shape, np.float32) for shape in shapes]

    output = deserialize_forward_backward_output(training.encode(LossOutput(logprobs, {"loss:sum": 2.5})))

    assert output.metrics == {"loss:sum": 2.5}
    assert len(output.loss_fn_outputs) == len(logprobs)
    for read, written in zip(output.loss_fn_outputs, logprobs, strict=True):
        np.testing.assert_array_equal(read["logprobs"].to_numpy(), written)


def test_the_client_reads_samples() -> None:
    topk = TopkLogprobs(np.array([[3, 4]] * 2, np.int32), np.array([[-1, -2]] * 2, np.float32))
    sequence = SampledSequence(np.array([5, 6], np.int32), np.array([-0.5, -1], np.float32), "length", topk)
    prompt = np.array([np.nan, -0.25, -0.75], np.float32)
    result = SampleResult([sequence], prompt, None)

    whole = deserialize_sample_response(sampling.encode(result))
    last = deserialize_sample_response(sampling.encode(result, last_n=1))

    assert whole.prompt_logprobs == [None, -0.25, -0.75] and last.prompt_logprobs == [None, None, -0.75]
    assert whole.sequences[0].tokens == [5, 6] and whole.sequences[0].logprobs == [-0.5, -1.0]
    assert whole.sequences[0].stop_reason == "length"
    assert whole.sequences[0].topk_logprobs == [[(3, -1.0), (4, -2.0)]] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_samples": 0}, "num_samples: expected 1 to 4096, got 0"),
        ({"prompt": {"chunks": [{"type": "image", "data": ""}]}}, "chunks of type 'image' are not supported"),
        ({"prompt": {"chunks": [{"tokens": [1, "a"]}]}}, "prompt: expected token ids, got 'a'"),
        ({"prompt": {"chunks": [{"tokens": [2**40]}]}}, "prompt: expected token ids"),
        ({"prompt": {}}, "prompt.chunks: expected a list, got nothing"),
        ({"prompt": 3}, "prompt: expected an object, got 3"),
        (
            {"sampling_params": {"temperature": "hot"}},
            'sampling_params.temperature: expected a number, got "hot"',
        ),
        (
            {"sampling_params": {"max_tokens": 1.5}},
            "sampling_params.max_tokens: expected an integer, got 1.5",
        ),
        ({"sampling_params": {"stop": ["a", 1]}}, "sampling_params.stop: expected token ids, got 'a'"),
        ({"record_stability_info": True}, "stable_reinforce"),
        ({"prompt_alt_tokens_k": 2}, "prompt_alt_tokens_k is not supported"),
    ],
)
def test_a_wrong_sampling_request_names_its_field(change: dict[str, object], message: str) -> None:
    request: dict[str, object] = {"prompt": {"chunks": [{"tokens": [1]}]}, "sampling_params": {}}
    with pytest.raises(RequestError) as refused:
        sampling.decode(Fields.parse(json.dumps({**request, **change}).encode()))
    assert message in refused.value.message
