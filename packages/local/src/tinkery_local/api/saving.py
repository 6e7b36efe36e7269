"""Handlers that save: training state and sampler weights on disk, or a snapshot in memory to sample from."""

from datetime import UTC, datetime
from functools import partial

from tinkery_local.api.endpoint import Answer, Call
from tinkery_local.checkpoint import CheckpointRecord
from tinkery_local.errors import RequestError
from tinkery_local.futures import Reply
from tinkery_local.replies import json_reply
from tinkery_local.service import Service
from tinkery_local.sessions import Sampler, TrainingModel
from tinkery_local.store import Store, TinkerPath, expiry
from tinkery_local.wire.fields import Fields


async def save_weights(call: Call) -> Answer:
    fields = call.fields()
    model = call.service.model(fields.text("model_id"))
    save = partial(_save_state, call.service.store, model, fields)
    return {"request_id": call.service.enqueue(model, fields.integer("seq_id"), save, durable=True)}


async def save_weights_for_sampler(call: Call) -> Answer:
    """With a name, a checkpoint on disk; without, a snapshot in memory and a sampler that draws from it."""
    fields = call.fields()
    model = call.service.model(fields.text("model_id"))
    seq_id = fields.integer("seq_id")
    if fields.has("path"):
        save = partial(_save_for_sampler, call.service.store, model, fields)
        return {"request_id": call.service.enqueue(model, seq_id, save, durable=True)}
    sampler, key = _sampler_of(call.service, model, fields)
    return {"request_id": call.service.enqueue(model, seq_id, partial(_snapshot, model, sampler, key))}


async def save_weights_external(call: Call) -> Answer:
    fields = call.fields()
    model = call.service.model(fields.text("model_id"))
    return {"request_id": call.service.enqueue(model, fields.integer("seq_id"), _refuse_export)}


def _save_state(store: Store, model: TrainingModel, fields: Fields) -> Reply:
    adapter = model.require_adapter()
    path = TinkerPath(model.model_id, "weights", fields.text("path"))
    with store.writing(path, _record(model, fields), overwrite=fields.flag("overwrite", False)) as folder:
        model.base.engine.save(adapter, folder)
    return json_reply({"path": str(path)})


def _save_for_sampler(store: Store, model: TrainingModel, fields: Fields) -> Reply:
    snapshot = model.base.engine.snapshot(model.require_adapter())
    path = TinkerPath(model.model_id, "sampler_weights", fields.text("path"))
    with store.writing(path, _record(model, fields), overwrite=True) as folder:
        model.base.engine.save(snapshot, folder)
    return json_reply({"path": str(path)})


def _snapshot(model: TrainingModel, sampler: Sampler, key: str) -> Reply:
    model.base.shelf.put(key, model.base.engine.snapshot(model.require_adapter()))
    return json_reply({"sampling_session_id": sampler.sampler_id})


def _refuse_export() -> Reply:
    raise RequestError(400, "this server exports to no other place; save_state writes to its own store")


def _record(model: TrainingModel, fields: Fields) -> CheckpointRecord:
    return CheckpointRecord(
        base_model=model.base.name,
        rank=model.lora.rank,
        train_attn=model.lora.train_attn,
        train_mlp=model.lora.train_mlp,
        train_unembed=model.lora.train_unembed,
        created=datetime.now(UTC),
        expires_at=expiry(fields.maybe_integer("ttl_seconds")),
        user_metadata=fields.text_map("user_metadata") or None,
        run_metadata=model.user_metadata or None,
    )


def _sampler_of(service: Service, model: TrainingModel, fields: Fields) -> tuple[Sampler, str]:
    """The sampler that the weights are for, and their key; samplers of kind `inflight` share one."""
    sampler_id = f"{model.session.session_id}:sample:{fields.integer('sampling_session_seq_id')}"
    kind = fields.maybe_text("kind") or "snapshot"
    if kind not in ("snapshot", "inflight"):
        raise RequestError(422, f"kind: expected 'snapshot' or 'inflight', got {kind!r}")
    key = sampler_id if kind == "snapshot" else f"{model.model_id}:inflight"
    sampler = Sampler(sampler_id, model.session, model.base, weights_key=key)
    service.add_sampler(sampler)
    return sampler, key
