"""forward_backward on the wire: protobuf request → datums of the engine, its output → protobuf."""

from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from tinkery_local.engine import Datum, EngineError, LossOutput
from tinkery_local.errors import RequestError
from tinkery_local.wire import tinkery_wire_pb2 as pb

DTYPES: dict[int, np.dtype[np.generic]] = {
    pb.FLOAT32: np.dtype("<f4"),
    pb.INT64: np.dtype("<i8"),
    pb.INT32: np.dtype("<i4"),
}

NO_TOKENS = np.zeros(0, np.int32)
NO_INDICES = np.zeros(0, np.int64)
MAX_DENSE = 2**26
"""Cells of the largest sparse tensor that is unfolded: a few bytes could ask for any amount of memory."""


@dataclass(frozen=True)
class LossCall:
    """The arguments of one forward_backward."""

    data: list[Datum]
    loss_fn: str
    config: dict[str, float]
    forward_only: bool


def read_request(body: bytes) -> pb.ForwardBackwardRequest:
    """Parse the body, enough to know whose turn it is; RequestError 400 for other bytes."""
    request = pb.ForwardBackwardRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise RequestError(400, "the body is not a ForwardBackwardRequest in protobuf") from None
    return request


def decode(request: pb.ForwardBackwardRequest) -> LossCall:
    """The engine's view of a request; EngineError names the datum and field that don't fit."""
    return LossCall(
        data=[_datum(datum, f"data[{index}]") for index, datum in enumerate(request.data)],
        loss_fn=request.loss_fn,
        config=_config(request),
        forward_only=request.forward_only,
    )


def encode(output: LossOutput) -> bytes:
    """All datums in one record, because they share their trailing shape; in several when they don't."""
    message = pb.ForwardBackwardOutput(loss_fn_output_type="ArrayRecord", metrics=output.metrics)
    start = 0
    while start < len(output.logprobs):
        trailing = output.logprobs[start].shape[1:]
        end = start
        while end < len(output.logprobs) and output.logprobs[end].shape[1:] == trailing:
            end += 1
        _add_record(message, output.logprobs[start:end], trailing)
        start = end
    return message.SerializeToString()


def _add_record(
    message: pb.ForwardBackwardOutput, logprobs: list[NDArray[np.float32]], trailing: tuple[int, ...]
) -> None:
    record = message.loss_fn_outputs.add(num_datums=len(logprobs))
    sizes = [array.size * 4 for array in logprobs]
    tensor = record.fields["logprobs"]
    tensor.data = np.concatenate([array.ravel() for array in logprobs]).astype("<f4", copy=False).tobytes()
    tensor.offsets = np.concatenate([[0], np.cumsum(sizes)]).astype("<i8").tobytes()
    tensor.dtype = pb.FLOAT32
    tensor.trailing_shape.extend(trailing)


def _config(request: pb.ForwardBackwardRequest) -> dict[str, float]:
    if not request.loss_fn_config_v2:
        return dict(request.loss_fn_config)
    config: dict[str, float] = {}
    for key, value in request.loss_fn_config_v2.items():
        if value.WhichOneof("value") != "number":
            raise EngineError(f"loss_fn_config[{key!r}]: expected a number, got the text {value.text!r}")
        config[key] = value.number
    return config


def _datum(datum: pb.Datum, where: str) -> Datum:
    tokens = [_tokens(chunk, f"{where}.model_input") for chunk in datum.model_input]
    return Datum(
        tokens=np.concatenate([NO_TOKENS, *tokens]),
        inputs={name: _tensor(value, f"{where}.{name}") for name, value in datum.loss_fn_inputs.items()},
    )


def _tokens(chunk: pb.Chunk, where: str) -> NDArray[np.int32]:
    if chunk.WhichOneof("chunk") != "encoded_text":
        raise EngineError(f"{where}: this server reads text only, no images or audio")
    return _array(chunk.encoded_text.tokens, np.dtype("<i4"), where).astype(np.int32, copy=False)


def _tensor(tensor: pb.Tensor, where: str) -> NDArray[np.generic]:
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None:
        raise EngineError(f"{where}: the tensor's dtype must be float32, int64 or int32")
    shape = tuple(tensor.shape)
    if tensor.WhichOneof("layout") == "sparse_csr":
        return _dense(tensor.sparse_csr, dtype, shape, where)
    values = _array(tensor.dense, dtype, where)
    if not shape:
        return values
    if min(shape) < 0 or values.size != np.prod(shape, dtype=object):
        raise EngineError(f"{where}: {values.size} values don't fill the shape {list(shape)}")
    return values.reshape(shape)


def _dense(
    csr: pb.SparseCsr, dtype: np.dtype[np.generic], shape: tuple[int, ...], where: str
) -> NDArray[np.generic]:
    values = _array(csr.values, dtype, where)
    rows = np.frombuffer(csr.crow_indices, np.int64) if len(csr.crow_indices) % 8 == 0 else NO_INDICES
    columns = np.frombuffer(csr.col_indices, np.int64) if len(csr.col_indices) % 8 == 0 else NO_INDICES
    counts = np.diff(rows)
    fits = (
        len(shape) == 2
        and min(shape) >= 0
        and shape[0] * shape[1] <= MAX_DENSE
        and rows.size == shape[0] + 1
        and rows[0] == 0
        and rows[-1] == columns.size == values.size
        and bool(np.all(counts >= 0))
        and bool(np.all((columns >= 0) & (columns < shape[1])))
    )
    if not fits:
        raise EngineError(
            f"{where}: not a sparse CSR matrix of shape {list(shape)} that this server can hold"
        )
    dense = np.zeros(shape, dtype)
    dense[np.repeat(np.arange(shape[0]), counts), columns] = values
    return dense


def _array(data: bytes, dtype: np.dtype[np.generic], where: str) -> NDArray[np.generic]:
    if len(data) % dtype.itemsize:
        raise EngineError(f"{where}: {len(data)} bytes are not a whole number of {dtype.name} values")
    return np.frombuffer(data, dtype)
