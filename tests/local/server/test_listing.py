"""The REST client: what was trained, saved and opened, and what of it is deleted."""

from collections.abc import Generator

import pytest
import tinker
from tinkery_local.testing import RunningServer


@pytest.fixture(scope="module")
def rest(server: RunningServer) -> Generator[tinker.RestClient]:
    client = tinker.RestClient(base_url=server.url, api_key="tml-local")
    yield client
    client.holder.close()


async def test_runs_and_checkpoints_are_listed_and_deleted(
    service: tinker.ServiceClient, rest: tinker.RestClient, base_model: str
) -> None:
    client = await service.create_lora_training_client(
        base_model=base_model, rank=4, train_mlp=False, user_metadata={"why": "test"}
    )
    state = (await client.save_state("state", user_metadata={"step": "1"})).path
    weights = (await client.save_weights_for_sampler("weights", ttl_seconds=7200)).path

    run = await rest.get_training_run_by_tinker_path(state)
    assert (run.base_model, run.is_lora, run.lora_rank) == (base_model, True, 4)
    assert run.user_metadata == {"why": "test"}
    assert run.last_checkpoint is not None and run.last_checkpoint.tinker_path == state
    assert run.last_sampler_checkpoint is not None and run.last_sampler_checkpoint.expires_at is not None
    listed = (await rest.list_training_runs(limit=1)).training_runs
    assert [item.training_run_id for item in listed] == [run.training_run_id]

    first, second = (await rest.list_checkpoints(run.training_run_id)).checkpoints
    assert (first.checkpoint_id, first.checkpoint_type) == ("weights/state", "training")
    assert first.user_metadata == {"step": "1"} and (first.size_bytes or 0) > 1000
    assert (second.checkpoint_id, second.checkpoint_type) == ("sampler_weights/weights", "sampler")
    newest = (await rest.list_user_checkpoints(limit=1)).checkpoints
    assert [item.tinker_path for item in newest] == [weights]

    info = await rest.get_weights_info_by_tinker_path(state)
    assert (info.base_model, info.lora_rank, info.train_mlp, info.train_attn) == (base_model, 4, False, True)

    await rest.publish_checkpoint_from_tinker_path(state)
    await rest.set_checkpoint_ttl_from_tinker_path(weights, None)
    first, second = (await rest.list_checkpoints(run.training_run_id)).checkpoints
    assert first.public and second.expires_at is None
    await rest.unpublish_checkpoint_from_tinker_path(state)
    await rest.delete_checkpoint_from_tinker_path(state)
    await rest.delete_checkpoint(run.training_run_id, "sampler_weights/weights")
    assert (await rest.list_checkpoints(run.training_run_id)).checkpoints == []
    with pytest.raises(tinker.NotFoundError, match="there is no checkpoint"):
        await rest.delete_checkpoint_from_tinker_path(state)


async def test_sessions_and_samplers_are_listed(
    service: tinker.ServiceClient, rest: tinker.RestClient, base_model: str
) -> None:
    trainer = await service.create_lora_training_client(base_model=base_model, rank=2)
    path = (await trainer.save_weights_for_sampler("weights")).path
    await service.create_sampling_client(model_path=path)

    newest = (await rest.list_sessions()).sessions[0]
    session = await rest.get_session(newest)
    (run,) = session.training_run_ids
    assert path.startswith(f"tinker://{run}/")
    (sampler_id,) = session.sampler_ids
    sampler = await rest.get_sampler(sampler_id)
    assert (sampler.base_model, sampler.model_path) == (base_model, path)


async def test_capabilities_name_the_models(rest: tinker.RestClient, server: RunningServer) -> None:
    (model,) = (await rest.get_server_capabilities()).supported_models
    assert (model.model_name, model.max_context_length) == (server.models[0], 256)
