"""Which checkpoints are made, and that of the rolling ones only the last is kept, whenever a run is killed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import tinker
from hypothesis import given
from hypothesis import strategies as st
from tinkery_core.backend import LocalBackend
from tinkery_core.checkpoints import (
    Checkpoint,
    CheckpointKind,
    checkpoint_due,
    open_training_client,
    save_checkpoint,
)
from tinkery_core.model import ModelConfig
from tinkery_core.run import Run, open_run
from tinkery_demo.script import Count, DemoConfig
from tinkery_local.testing import RunningServer

MODEL = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3", lora_rank=2)


def make_config(*, url: str = "", save_every: int = 0, rolling_save_every: int = 0) -> DemoConfig:
    return DemoConfig(
        run_dir="here",
        backend=LocalBackend(base_url=url),
        model=MODEL,
        task=Count(),
        save_every=save_every,
        rolling_save_every=rolling_save_every,
    )


@asynccontextmanager
async def opened(
    server: RunningServer,
) -> AsyncGenerator[tuple[Run, tinker.TrainingClient, tinker.RestClient]]:
    config = make_config(url=server.url)
    with open_run(config) as run:
        async with run.connect() as service:
            yield run, await open_training_client(service, config, run), await run.rest_client()


async def saved(rest: tinker.RestClient, model_id: str) -> list[str]:
    """Names at the service, each of which has to have both of its parts."""
    found = (await rest.list_checkpoints(model_id)).checkpoints
    names = {checkpoint.checkpoint_id.partition("/")[2] for checkpoint in found}
    assert len(found) == 2 * len(names)
    return sorted(names)


def test_which_checkpoint_is_due() -> None:
    config = make_config(save_every=4, rolling_save_every=2)
    due = [checkpoint_due(config, num_applied, 8) for num_applied in range(9)]
    assert due == [None, None, "rolling", None, "periodic", None, "rolling", None, None]


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 30), st.integers(1, 30))
def test_a_due_checkpoint_is_asked_for(save: int, rolling: int, num_applied: int, num_steps: int) -> None:
    kind = checkpoint_due(make_config(save_every=save, rolling_save_every=rolling), num_applied, num_steps)
    every = {"periodic": save, "rolling": rolling}
    if kind is None:
        inside = 0 < num_applied < num_steps
        assert not (inside and any(steps and num_applied % steps == 0 for steps in every.values()))
    else:
        assert num_applied % every[kind] == 0


async def test_of_rolling_checkpoints_only_the_last_is_kept(server: RunningServer) -> None:
    kinds: list[CheckpointKind] = ["rolling", "rolling", "periodic", "rolling", "rolling", "final"]
    kept: list[list[str]] = []
    async with opened(server) as (run, client, rest):
        for step, kind in enumerate(kinds, start=1):
            await save_checkpoint(client, run, step, kind)
            kept.append(await saved(rest, client.model_id))
            records = run.checkpoints.records()
            assert [f"{record.step:06d}" for record in records] == kept[-1]
            assert all(record.superseded == () for record in records)
    assert [[int(name) for name in names] for names in kept] == [[1], [2], [3], [3, 4], [3, 5], [3, 6]]


@pytest.mark.parametrize("killed_after", ["the successor's record", "the old record", "one of two deletions"])
async def test_what_a_killed_run_did_not_delete_goes_when_it_resumes(
    server: RunningServer, killed_after: str
) -> None:
    async with opened(server) as (run, client, rest):
        first = await save_checkpoint(client, run, 1, "rolling")
        # All that the run does for the next one, up to the moment of the kill:
        name = "000002"
        state, sampler = await client.save_state(name), await client.save_weights_for_sampler(name)
        second = Checkpoint(2, "rolling", state.path, sampler.path)
        run.checkpoints.append(second)
        if killed_after != "the successor's record":
            run.checkpoints.supersede()
        if killed_after == "one of two deletions":
            await rest.delete_checkpoint_from_tinker_path(first.state_path)
        model_id = client.model_id
    async with opened(server) as (run, _, rest):
        assert run.resume is not None and run.resume.state_path == second.state_path
        assert run.checkpoints.records() == [second]
        assert await saved(rest, model_id) == [name]


async def test_a_failing_deletion_is_a_line_in_the_log_and_tried_again(server: RunningServer) -> None:
    undeletable = "tinker://.hidden/weights/000001"  # the server refuses the name
    async with opened(server) as (run, client, _):
        run.checkpoints.append(Checkpoint(1, "rolling", undeletable, "tinker://gone/sampler_weights/000001"))
        await save_checkpoint(client, run, 2, "periodic")
        (record,) = run.checkpoints.records()
        assert record.superseded == (undeletable,)
        await save_checkpoint(client, run, 3, "periodic")
        assert [record.superseded for record in run.checkpoints.records()] == [(), (undeletable,)]
    log = Path("here/log.txt").read_text()
    assert log.count(f"The superseded checkpoint {undeletable} could not be deleted: ") == 2
    assert "gone" not in log
