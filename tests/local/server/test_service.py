"""What only shows with patience or memory, on a service in this process whose limits are small."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest
from tinkery_local import service as limits
from tinkery_local.catalog import ModelSource
from tinkery_local.engine import Adapter, Engine, LoraSpec
from tinkery_local.engine_thread import EngineThread
from tinkery_local.errors import RequestError
from tinkery_local.replies import json_reply
from tinkery_local.service import Service
from tinkery_local.sessions import Sampler, Session, TrainingModel
from tinkery_local.store import Store
from tinkery_local.weights import WeightShelf
from tinkery_local.wire.fields import Fields
from tinkery_local.wire.sampling import decode


@pytest.fixture
def engine(random_model: Path) -> Engine:
    return Engine(random_model)


@pytest.fixture
async def service(engine: Engine, random_model: Path, tmp_path: Path) -> AsyncGenerator[Service]:
    thread = EngineThread(asyncio.get_running_loop())
    thread.start()
    service = Service([(ModelSource("random", random_model), engine)], Store(tmp_path), thread)
    yield service
    await service.stop()


def add_model(service: Service, session: Session) -> TrainingModel:
    model_id = f"{session.session_id}:train:0"
    model = TrainingModel(model_id, session, service.base("random"), LoraSpec(rank=1), {})
    service.add_model(model, lambda: json_reply({}))
    return model


async def result(service: Service, request_id: str) -> dict[str, object]:
    reply = await service.futures.wait(request_id, seconds=60)
    assert reply is not None
    return json.loads(reply.body)


async def test_a_number_that_never_comes_fails_those_after_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GAP_SECONDS", 0.01)
    model = add_model(service, service.open_session({}, None))
    waiting = [service.enqueue(model, seq_id, lambda: json_reply({"ran": True})) for seq_id in (3, 2)]
    for request_id in waiting:
        failed = await result(service, request_id)
        assert failed == {
            "error": f"request 1 of {model.model_id} never arrived, so those numbered after it can't run",
            "category": "user",
        }
    assert await result(service, service.enqueue(model, 4, lambda: json_reply({"ran": True}))) == {
        "ran": True
    }


async def test_a_client_that_vanished_leaves_nothing(
    engine: Engine, random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "VANISHED_SECONDS", 0.05)
    thread = EngineThread(asyncio.get_running_loop())
    thread.start()
    service = Service([(ModelSource("random", random_model), engine)], Store(tmp_path), thread)
    model = add_model(service, service.open_session({}, None))
    poll = service.futures.wait(service.enqueue(model, 9, lambda: json_reply({})), seconds=60)
    with pytest.raises(RequestError, match="ended with its session"):
        await poll
    assert not service.sessions and not service.models
    await service.stop()


async def test_a_flood_is_pushed_back(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WAITING_SAMPLES", 4)
    sampler = Sampler("s:sample:0", service.open_session({}, None), service.base("random"))
    call = decode(Fields({"prompt": {"chunks": [{"tokens": [1]}]}, "num_samples": 4, "sampling_params": {}}))
    first = service.sample(sampler, 0, call)
    with pytest.raises(RequestError, match="4 samples are waiting") as refused:
        service.sample(sampler, 1, call)
    assert refused.value.status == 429
    service.cancel_sample(first)
    assert await result(service, first) == {"error": "cancelled by the client", "category": "user"}
    service.sample(sampler, 1, call)


def adapters(engine: Engine) -> list[Adapter]:
    return [engine.create_adapter(LoraSpec(rank=1, seed=seed)) for seed in range(3)]


def test_weights_beyond_the_memory_go_to_disk_and_come_back(engine: Engine, tmp_path: Path) -> None:
    shelf = WeightShelf(engine, tmp_path / "scratch", memory_bytes=1)
    saved = [engine.snapshot(adapter) for adapter in adapters(engine)]
    for index, snapshot in enumerate(saved):
        shelf.put(str(index), snapshot)
    assert len(list((tmp_path / "scratch").iterdir())) == 2
    for index, snapshot in enumerate(saved):
        np.testing.assert_array_equal(np.asarray(shelf.get(str(index)).weights), np.asarray(snapshot.weights))
        shelf.drop(str(index))
    assert not list((tmp_path / "scratch").iterdir())


def test_weights_stay_in_memory_when_the_disk_refuses(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "scratch").write_text("in the way")
    shelf = WeightShelf(engine, tmp_path / "scratch", memory_bytes=1)
    for index, adapter in enumerate(adapters(engine)):
        shelf.put(str(index), engine.snapshot(adapter))
    assert all(shelf.get(str(index)).lora == LoraSpec(rank=1, seed=index) for index in range(3))
