"""Handlers of a sampling client, and the long poll by which every client fetches its results."""

from dataclasses import replace
from functools import partial

from tinkery_local.api.endpoint import Answer, Call
from tinkery_local.replies import json_reply
from tinkery_local.sessions import Sampler
from tinkery_local.store import TinkerPath
from tinkery_local.wire.sampling import decode

POLL_SECONDS = 25.0
"""How long a poll is held; the client asks again at once, and would drop the connection after 45 seconds."""


async def create_sampling_session(call: Call) -> Answer:
    fields = call.fields()
    session = call.service.session(fields.text("session_id"))
    sampler_id = f"{session.session_id}:sample:{fields.integer('sampling_session_seq_id')}"
    if sampler_id not in call.service.samplers:
        if fields.has("model_path"):
            path = TinkerPath.parse(fields.text("model_path"))
            base = call.service.base(call.service.store.read(path).base_model)
            sampler = Sampler(sampler_id, session, base, weights_key=sampler_id, model_path=str(path))
            load = partial(base.shelf.load, sampler_id, call.service.store.find(path))
            await call.service.thread.submit(load)
            call.service.session(session.session_id)  # it may have ended meanwhile
        else:
            sampler = Sampler(sampler_id, session, call.service.base(fields.text("base_model")))
        call.service.add_sampler(sampler)
    return {"sampling_session_id": sampler_id}


async def get_sampler(call: Call) -> Answer:
    sampler = call.service.sampler(call.path["sampler_id"])
    about = {"sampler_id": sampler.sampler_id, "base_model": sampler.base.name}
    return about if sampler.model_path is None else {**about, "model_path": sampler.model_path}


async def asample(call: Call) -> Answer:
    fields = call.fields()
    sampler = call.service.sampler(fields.text("sampling_session_id"))
    sample = decode(fields)
    request_id = call.service.sample(sampler, fields.integer("seq_id"), sample)
    sequence_ids = [f"{request_id}:{index}" for index in range(sample.num_samples)]
    return {"request_id": request_id, "sample_sequence_ids": sequence_ids}


async def cancel_future(call: Call) -> Answer:
    call.service.cancel_sample(call.fields().text("request_id"))
    return {}


async def retrieve_future(call: Call) -> Answer:
    """The result as soon as it is there; after `POLL_SECONDS` the answer that makes the client ask again."""
    request_id = call.fields().text("request_id")
    reply = await call.service.futures.wait(request_id, POLL_SECONDS)
    if reply is not None:
        return reply
    pending = json_reply({"type": "try_again", "request_id": request_id, "queue_state": "active"})
    return replace(pending, status=408)
