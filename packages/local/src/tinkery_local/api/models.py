"""Handlers that make a model to train, from its base or from a checkpoint, and tell of it."""

from functools import partial

from tinkery_local.api.endpoint import Answer, Call
from tinkery_local.engine import LoraSpec
from tinkery_local.errors import RequestError
from tinkery_local.futures import Reply
from tinkery_local.replies import json_reply
from tinkery_local.sessions import Session, TrainingModel
from tinkery_local.store import Store, TinkerPath
from tinkery_local.wire.fields import Fields

MAX_RANK = 1024


async def create_model(call: Call) -> Answer:
    fields = call.fields()
    session = call.service.session(fields.text("session_id"))
    base = call.service.base(fields.text("base_model"))
    _require_adam(fields)
    metadata = fields.text_map("user_metadata")
    model = TrainingModel(_model_id(session, fields), session, base, _lora(fields), metadata)
    request_id = call.service.add_model(model, partial(_create, model))
    return {"request_id": request_id, "model_id": model.model_id}


async def load_weights(call: Call) -> Answer:
    """Load a checkpoint into a model, or, when the request names a session, into a new model."""
    fields = call.fields()
    if fields.has("session_id"):
        return _create_from_checkpoint(call, fields)
    model = call.service.model(fields.text("model_id"))
    load = partial(_load, call.service.store, model, fields)
    return {"request_id": call.service.enqueue(model, fields.integer("seq_id"), load)}


async def get_info(call: Call) -> Answer:
    model = call.service.model(call.fields().text("model_id"))
    data = {
        "arch": model.base.engine.spec.model_type,
        "model_name": model.base.name,
        "tokenizer_id": str(model.base.folder),
    }
    return {
        "model_id": model.model_id,
        "model_data": data,
        "model_name": model.base.name,
        "is_lora": True,
        "lora_rank": model.lora.rank,
        "optimizer_config": {"type": "adamw"},
    }


def _create(model: TrainingModel) -> Reply:
    model.adapter = model.base.engine.create_adapter(model.lora)
    return json_reply({"model_id": model.model_id})


def _load(store: Store, model: TrainingModel, fields: Fields) -> Reply:
    path = TinkerPath.parse(fields.text("path"))
    record = store.read(path)
    if record.base_model != model.base.name:
        raise RequestError(
            400, f"{path} belongs to the base model {record.base_model}, not to {model.base.name}"
        )
    model.adapter = model.base.engine.load_adapter(store.find(path), fields.flag("optimizer", False))
    model.lora = model.adapter.lora
    return json_reply({"path": str(path), "model_id": model.model_id})


def _create_from_checkpoint(call: Call, fields: Fields) -> Answer:
    session = call.service.session(fields.text("session_id"))
    record = call.service.store.read(TinkerPath.parse(fields.text("path")))
    base = call.service.base(fields.maybe_text("base_model") or record.base_model)
    _require_adam(fields)
    lora = LoraSpec(
        rank=record.rank,
        train_attn=record.train_attn,
        train_mlp=record.train_mlp,
        train_unembed=record.train_unembed,
    )
    metadata = fields.text_map("user_metadata")
    model = TrainingModel(_model_id(session, fields), session, base, lora, metadata)
    request_id = call.service.add_model(model, partial(_load, call.service.store, model, fields))
    return {"request_id": request_id, "model_id": model.model_id}


def _model_id(session: Session, fields: Fields) -> str:
    """The form that the client assumes when it creates a model from a checkpoint."""
    return f"{session.session_id}:train:{fields.integer('model_seq_id')}"


def _lora(fields: Fields) -> LoraSpec:
    if not fields.has("lora_config"):
        raise RequestError(400, "this server trains LoRA adapters only: give lora_config")
    config = fields.child("lora_config")
    default = LoraSpec()
    rank = config.integer("rank") if config.has("rank") else default.rank
    if not 1 <= rank <= MAX_RANK:
        raise RequestError(422, f"lora_config.rank: expected 1 to {MAX_RANK}, got {rank}")
    seed = config.maybe_integer("seed")
    return LoraSpec(
        rank=rank,
        seed=default.seed if seed is None else seed,
        train_attn=config.flag("train_attn", default.train_attn),
        train_mlp=config.flag("train_mlp", default.train_mlp),
        train_unembed=config.flag("train_unembed", default.train_unembed),
    )


def _require_adam(fields: Fields) -> None:
    kind = fields.child("optimizer_config").maybe_text("type") or "adamw"
    if kind != "adamw":
        raise RequestError(
            400, f"optimizer {kind!r} is not supported; this server optimises with 'adamw' only"
        )
