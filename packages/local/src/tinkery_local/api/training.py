"""Handlers that train: forward_backward and optim_step.

What is wrong with a request whose model and number are known shows when its turn comes, as a failed future:
so its number is used up in order, and what the client numbered after it still runs.
"""

from functools import partial

from tinkery_local.api.endpoint import Answer, Call
from tinkery_local.engine import AdamParams
from tinkery_local.errors import RequestError
from tinkery_local.futures import Reply
from tinkery_local.replies import json_reply, proto_reply
from tinkery_local.sessions import TrainingModel
from tinkery_local.wire import tinkery_wire_pb2 as pb
from tinkery_local.wire import training as wire
from tinkery_local.wire.fields import Fields


async def forward_backward(call: Call) -> Answer:
    """Both passes, or the forward one alone: the request says which."""
    if "zstd" in call.headers.get("content-encoding", ""):
        raise RequestError(415, "compressed bodies are not supported, as /client/config tells the client")
    request = wire.read_request(call.body)
    model = call.service.model(request.model_id)
    return {
        "request_id": call.service.enqueue(model, request.seq_id, partial(_forward_backward, model, request))
    }


async def optim_step(call: Call) -> Answer:
    fields = call.fields()
    model = call.service.model(fields.text("model_id"))
    step = partial(_optim_step, model, fields)
    return {"request_id": call.service.enqueue(model, fields.integer("seq_id"), step)}


def _forward_backward(model: TrainingModel, request: pb.ForwardBackwardRequest) -> Reply:
    adapter = model.require_adapter()
    loss = wire.decode(request)
    output = model.base.engine.forward_backward(
        adapter, loss.data, loss.loss_fn, loss.config, loss.forward_only
    )
    return proto_reply(wire.encode(output))


def _optim_step(model: TrainingModel, fields: Fields) -> Reply:
    if fields.has("optimizer_params"):
        raise RequestError(400, "this server optimises with Adam only: pass AdamParams")
    params = fields.child("adam_params")
    default = AdamParams()
    adam = AdamParams(
        learning_rate=params.number("learning_rate", default.learning_rate),
        beta1=params.number("beta1", default.beta1),
        beta2=params.number("beta2", default.beta2),
        eps=params.number("eps", default.eps),
        weight_decay=params.number("weight_decay", default.weight_decay),
        grad_clip_norm=params.number("grad_clip_norm", default.grad_clip_norm),
    )
    return json_reply({"metrics": model.base.engine.optim_step(model.require_adapter(), adam)})
