"""Handlers of the REST client: what runs, checkpoints, sessions and samplers there are, and deletions.

Walking through the store happens on a thread, for it may be large.
"""

from asyncio import to_thread
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

from tinkery_local.api.endpoint import Answer, Call
from tinkery_local.checkpoint import CheckpointRecord
from tinkery_local.errors import RequestError
from tinkery_local.service import Service
from tinkery_local.sessions import TrainingModel
from tinkery_local.store import Store, TinkerPath

OWNER = "local"
CHECKPOINT_TYPES = {"weights": "training", "sampler_weights": "sampler"}

Item = TypeVar("Item")
Found = tuple[TinkerPath, CheckpointRecord]


async def training_runs(call: Call) -> Answer:
    """Runs with a model in training, then those that have checkpoints only."""
    stored = await to_thread(call.service.store.runs)
    page, cursor = _page(call, list(dict.fromkeys([*reversed(call.service.models), *reversed(stored)])))
    return {"training_runs": [await _run(call.service, run) for run in page], "cursor": cursor}


async def training_run(call: Call) -> Answer:
    return await _run(call.service, call.path["run"])


async def run_checkpoints(call: Call) -> Answer:
    found = await to_thread(call.service.store.checkpoints, call.path["run"])
    return {"checkpoints": [_checkpoint(call.service.store, *pair) for pair in found]}


async def checkpoints(call: Call) -> Answer:
    """All checkpoints of the store, newest first."""
    store = call.service.store
    page, cursor = _page(call, await to_thread(_newest_first, store))
    return {"checkpoints": [_checkpoint(store, *pair) for pair in page], "cursor": cursor}


async def delete_checkpoint(call: Call) -> Answer:
    await to_thread(call.service.store.delete, _path(call))
    return {}


async def publish(call: Call) -> Answer:
    call.service.store.publish(_path(call), public=True)
    return {}


async def unpublish(call: Call) -> Answer:
    call.service.store.publish(_path(call), public=False)
    return {}


async def set_ttl(call: Call) -> Answer:
    call.service.store.expire_in(_path(call), call.fields().maybe_integer("ttl_seconds"))
    return {}


async def weights_info(call: Call) -> Answer:
    record = call.service.store.read(TinkerPath.parse(call.fields().text("tinker_path")))
    return {
        "base_model": record.base_model,
        "is_lora": True,
        "lora_rank": record.rank,
        "train_attn": record.train_attn,
        "train_mlp": record.train_mlp,
        "train_unembed": record.train_unembed,
    }


async def sessions(call: Call) -> Answer:
    page, _ = _page(call, list(reversed(call.service.sessions)))
    return {"sessions": page}


async def session(call: Call) -> Answer:
    found = call.service.sessions.get(call.path["session_id"])
    if found is None:
        raise RequestError(404, f"session {call.path['session_id']!r} is unknown, or has ended")
    return {
        "training_run_ids": found.model_ids,
        "sampler_ids": found.sampler_ids,
        "user_metadata": found.user_metadata or None,
        "display_name": found.display_name,
    }


def _path(call: Call) -> TinkerPath:
    return TinkerPath(call.path["run"], call.path["kind"], call.path["name"])


def _page(call: Call, items: Sequence[Item]) -> tuple[list[Item], dict[str, int]]:
    offset, limit = call.count("offset", 0), call.count("limit", 100)
    return list(items[offset : offset + limit]), {"offset": offset, "limit": limit, "total_count": len(items)}


def _newest_first(store: Store) -> list[Found]:
    found = [pair for run in store.runs() for pair in store.checkpoints(run)]
    return sorted(found, key=lambda pair: pair[1].created, reverse=True)


async def _run(service: Service, run: str) -> dict[str, object]:
    found = await to_thread(service.store.checkpoints, run)
    model = service.models.get(run)
    if model is None and not found:
        raise RequestError(404, f"there is no training run {run!r} here")
    return {
        "training_run_id": run,
        **(_live_run(model) if model is not None else _stored_run(found[-1][1])),
        "model_owner": OWNER,
        "is_lora": True,
        "last_checkpoint": _last(service.store, found, "weights"),
        "last_sampler_checkpoint": _last(service.store, found, "sampler_weights"),
    }


def _live_run(model: TrainingModel) -> dict[str, object]:
    return {
        "base_model": model.base.name,
        "lora_rank": model.lora.rank,
        "last_request_time": model.last_request.astimezone(UTC).isoformat(),
        "user_metadata": model.user_metadata or None,
    }


def _stored_run(newest: CheckpointRecord) -> dict[str, object]:
    return {
        "base_model": newest.base_model,
        "lora_rank": newest.rank,
        "last_request_time": newest.created.isoformat(),
        "user_metadata": newest.run_metadata,
    }


def _last(store: Store, found: Sequence[Found], kind: str) -> dict[str, object] | None:
    of_kind = [pair for pair in found if pair[0].kind == kind]
    return _checkpoint(store, *of_kind[-1]) if of_kind else None


def _checkpoint(store: Store, path: TinkerPath, record: CheckpointRecord) -> dict[str, object]:
    return {
        "checkpoint_id": path.checkpoint_id,
        "checkpoint_type": CHECKPOINT_TYPES[path.kind],
        "time": record.created.isoformat(),
        "tinker_path": str(path),
        "size_bytes": store.size(path),
        "public": record.public,
        "user_metadata": record.user_metadata,
        "expires_at": None if record.expires_at is None else _iso(record.expires_at),
    }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
