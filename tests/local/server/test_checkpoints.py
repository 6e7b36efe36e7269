"""Checkpoints through the unmodified client: on disk, whole or not at all, and still there after the server."""

import errno
import os
import resource
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import tinker
from tinker import types
from tinkery_local.checkpoint import CheckpointRecord
from tinkery_local.errors import RequestError
from tinkery_local.store import Store, TinkerPath
from tinkery_local.testing import running_server

STEP = types.AdamParams(learning_rate=1e-2)
PROMPT = types.ModelInput.from_ints([1, 2, 3])
GREEDY = types.SamplingParams(max_tokens=6, temperature=0.0)
DATUM = types.Datum(
    model_input=PROMPT,
    loss_fn_inputs={
        "target_tokens": types.TensorData.from_numpy(np.array([2, 3, 4], np.int64)),
        "weights": types.TensorData.from_numpy(np.ones(3, np.float32)),
    },
)


async def train(client: tinker.TrainingClient, steps: int) -> list[float]:
    losses: list[float] = []
    for _ in range(steps):
        forward_backward = client.forward_backward([DATUM], "cross_entropy")
        step = client.optim_step(STEP)
        losses.append((await forward_backward).metrics["loss:sum"])
        await step
    return losses


async def greedy(sampler: tinker.SamplingClient) -> tuple[list[int], list[float] | None]:
    (sequence,) = (await sampler.sample(PROMPT, 1, GREEDY)).sequences
    return list(sequence.tokens), sequence.logprobs


async def test_a_model_goes_on_bit_for_bit_where_it_was_saved(
    service: tinker.ServiceClient, base_model: str
) -> None:
    client = await service.create_lora_training_client(base_model=base_model, rank=4, train_unembed=False)
    await train(client, 3)
    path = (await client.save_state("three")).path
    expected = await train(client, 3)

    whole = await service.create_training_client_from_state_with_optimizer(path)
    assert await train(whole, 3) == expected
    info = whole.get_info()
    assert info.model_data.model_name == base_model and info.lora_rank == 4

    weights_only = await service.create_training_client_from_state(path)
    losses = await train(weights_only, 3)
    assert losses[0] == expected[0] and losses[1:] != expected[1:]
    fresh = await service.create_training_client_from_state(path)
    assert await train(fresh, 3) == losses


async def test_names_are_kept_apart(service: tinker.ServiceClient, base_model: str, store: Path) -> None:
    client = await service.create_lora_training_client(base_model=base_model, rank=2)
    path = (await client.save_state("one")).path
    with pytest.raises(
        tinker.RequestFailedError, match="exists already; choose another name or pass overwrite"
    ):
        await client.save_state("one")
    assert (await client.save_state("one", overwrite=True)).path == path
    for name in ("../one", "a/b", "..", ".hidden", "", "x" * 500, "nul\0"):
        with pytest.raises(tinker.RequestFailedError, match="expected 1 to 150 bytes") as failed:
            await client.save_state(name)
        assert failed.value.category == types.RequestErrorCategory.User
    run = store / TinkerPath.parse(path).run
    assert [entry.name for entry in (run / "weights").iterdir()] == ["one"]
    with pytest.raises(tinker.NotFoundError, match="there is no checkpoint tinker://"):
        await service.create_training_client_from_state(path.replace("/one", "/two"))


async def test_a_new_server_finds_what_the_old_one_saved(random_model: Path, tmp_path: Path) -> None:
    arguments = ("--model", str(random_model), "--store", str(tmp_path / "store"))
    with running_server(*arguments) as first:
        client = tinker.ServiceClient(base_url=first.url, api_key="tml-local")
        trainer = await client.create_lora_training_client(base_model=first.models[0], rank=4)
        await train(trainer, 2)
        state = (await trainer.save_state("state")).path
        weights = (await trainer.save_weights_for_sampler("weights")).path
        sampled = await greedy(await trainer.save_weights_and_get_sampling_client())
        expected = await train(trainer, 2)
        await client.close("success")
        assert first.stop() == 0
    with running_server(*arguments) as second:
        client = tinker.ServiceClient(base_url=second.url, api_key="tml-local")
        for path in (state, weights):
            assert await greedy(await client.create_sampling_client(model_path=path)) == sampled
        again = await client.create_training_client_from_state_with_optimizer(state)
        assert await train(again, 2) == expected
        await client.close("success")


async def test_a_disk_that_refuses_fails_the_save_alone(
    service: tinker.ServiceClient, base_model: str, store: Path
) -> None:
    client = await service.create_lora_training_client(base_model=base_model, rank=2)
    good = (await client.save_state("good")).path
    run = store / TinkerPath.parse(good).run
    (run / "sampler_weights").write_text("a file where a folder should be")
    with pytest.raises(tinker.RequestFailedError, match="the server's disk refused") as failed:
        await client.save_weights_for_sampler("lost")
    assert failed.value.category == types.RequestErrorCategory.Server
    await train(client, 1)
    assert (await client.save_state("next")).path
    await service.create_training_client_from_state(good)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process's files")
async def test_a_full_disk_fails_the_save_alone(random_model: Path, tmp_path: Path) -> None:
    """A limit on the size of files plays the full disk: a large adapter does not fit, a small one does."""
    with running_server("--model", str(random_model), "--store", str(tmp_path)) as full:
        client = tinker.ServiceClient(base_url=full.url, api_key="tml-local")
        small = await client.create_lora_training_client(base_model=full.models[0], rank=1)
        large = await client.create_lora_training_client(base_model=full.models[0], rank=32)
        resource.prlimit(full.process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
        kept = (await small.save_state("kept")).path
        with pytest.raises(tinker.RequestFailedError, match=os.strerror(errno.EFBIG)):
            await large.save_state("lost")
        assert [file.parent.name for file in tmp_path.glob("*/weights/*/adapter.json")] == ["kept"]
        assert not list(tmp_path.glob("*/weights/.*")), "nothing half written stays"
        await train(large, 1)
        await client.create_training_client_from_state(kept)
        await client.close("success")


async def test_a_corrupt_checkpoint_is_refused_and_costs_nothing_else(
    service: tinker.ServiceClient, base_model: str, store: Path
) -> None:
    client = await service.create_lora_training_client(base_model=base_model, rank=2)
    path = (await client.save_state("corrupt")).path
    weights = store / path.removeprefix("tinker://") / "adapter.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(tinker.RequestFailedError, match="damaged or incomplete") as failed:
        await service.create_training_client_from_state(path)
    assert failed.value.category == types.RequestErrorCategory.User
    with pytest.raises(tinker.BadRequestError, match="damaged or incomplete"):
        await service.create_sampling_client(model_path=path)
    await train(client, 1)


PATH = TinkerPath("run", "weights", "name")


def write(store: Store, content: str, overwrite: bool = False, expires_in: float | None = None) -> None:
    now = datetime.now(UTC)
    expires_at = None if expires_in is None else now + timedelta(seconds=expires_in)
    record = CheckpointRecord("base", 4, True, True, False, now, expires_at, user_metadata={"note": content})
    with store.writing(PATH, record, overwrite) as folder:
        folder.mkdir()
        (folder / "file").write_text(content)


def content(store: Store) -> str:
    return (store.folder(PATH) / "file").read_text()


def test_a_checkpoint_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with (
        pytest.raises(KeyError),
        store.writing(PATH, CheckpointRecord("b", 1, True, True, True, datetime.now(UTC))) as folder,
    ):
        folder.mkdir()
        raise KeyError
    assert not any(file.is_file() for file in tmp_path.rglob("*"))
    with pytest.raises(RequestError, match="there is no checkpoint"):
        store.read(PATH)
    write(store, "first")
    with pytest.raises(RequestError, match="exists already"):
        write(store, "second")
    assert content(store) == "first" and store.read(PATH).user_metadata == {"note": "first"}
    write(store, "second", overwrite=True)
    assert content(store) == "second"
    store.delete(PATH)
    assert list(store.folder(PATH).parent.iterdir()) == []


def test_what_a_dead_server_left_is_put_right(tmp_path: Path) -> None:
    """Killed while it replaced a checkpoint, and another one while it wrote; the living one is left alone."""
    store = Store(tmp_path)
    write(store, "kept")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    place = store.folder(PATH)
    hidden = "0" * 32
    place.rename(place.with_name(f".replaced-{dead.pid}-{hidden}-name"))
    (place.parent / f".partial-{dead.pid}-{hidden}-other").mkdir()
    (place.parent / f".partial-{os.getpid()}-{hidden}-mine").mkdir()
    (tmp_path / f".scratch-{dead.pid}").mkdir()
    store.open()
    assert content(store) == "kept"
    assert {entry.name for entry in place.parent.iterdir()} == {
        "name",
        f".partial-{os.getpid()}-{hidden}-mine",
    }
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_a_checkpoint_expires(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, "short", expires_in=-1)
    assert store.checkpoints("run") == []
    write(store, "long", overwrite=True, expires_in=60)
    store.expire_in(PATH, None)
    assert store.read(PATH).expires_at is None
    with pytest.raises(RequestError, match="ttl_seconds: expected 1 second to 10 years, got 0"):
        store.expire_in(PATH, 0)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, "x")
    (store.folder(PATH) / "checkpoint.json").write_text('{"base_model": 3}')
    with pytest.raises(
        RequestError, match="tinker://run/weights/name is damaged: base_model: expected a string"
    ):
        store.read(PATH)
    assert store.checkpoints("run") == []


def test_another_store_is_read_and_never_written(tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    write(other, "theirs", expires_in=60)
    store = Store(tmp_path / "own", [other.root])
    store.open()
    assert store.read(PATH).user_metadata == {"note": "theirs"}
    assert store.find(PATH) == other.folder(PATH)
    assert store.runs() == []
    for change in (
        lambda: store.delete(PATH),
        lambda: store.expire_in(PATH, 1),
        lambda: write(store, "mine", overwrite=True),
    ):
        with pytest.raises(RequestError, match="is kept in another store, which this server only reads"):
            change()
    assert content(other) == "theirs"
