"""`model.start_from`: a run that starts with the weights of another."""

import shutil
from pathlib import Path

import pytest
from tinkery_core.jsonl import read_lines
from tinkery_demo.calling import Call
from tinkery_local.testing import RunningServer


def rewards(run_dir: str) -> list[float]:
    return [
        float(str(record["env/all/reward/total"])) for record in read_lines(Path(run_dir, "metrics.jsonl"))
    ]


def state_of(run_dir: str) -> str:
    *_, last = read_lines(Path(run_dir, "checkpoints.jsonl"))
    return str(last["state_path"])


def test_from_a_run_whose_embedded_server_is_gone(call: Call) -> None:
    assert call("task=train", "max_steps=2", "run_dir=a").status == 0
    continued = ("task=train", "max_steps=1", "run_dir=b", "model.start_from=a")
    ended = call(*continued)
    assert ended.status == 0, ended.err
    assert "Starting with the weights of a\n" in ended.out
    assert rewards("b")[0] > rewards("a")[1] > rewards("a")[0]
    assert not Path("b/store", state_of("a").split("/")[2]).exists(), "the other store is only read"

    shutil.rmtree("a")  # a run with a checkpoint of its own doesn't need it any more
    assert call(*continued).status == 0
    other = call("task=train", "run_dir=c", "model.start_from=a")
    assert other.status == 2


def test_from_a_path_at_a_service_that_has_it(server: RunningServer, call: Call) -> None:
    there = ("task=train", f"backend.base_url={server.url}")
    assert call(*there, "max_steps=3", "run_dir=a").status == 0
    assert call(*there, "max_steps=2", "run_dir=two").status == 0
    for name, start in (("b", state_of("two")), ("c", "two")):
        assert call(*there, "max_steps=1", f"run_dir={name}", f"model.start_from={start}").status == 0
        assert rewards(name) == rewards("a")[2:]


def test_weights_that_do_not_fit(server: RunningServer, call: Call) -> None:
    there = ("task=train", f"backend.base_url={server.url}")
    assert call(*there, "max_steps=1", "run_dir=a").status == 0
    rank = call(*there, "run_dir=b", "model.start_from=a", "model.lora_rank=4")
    assert (rank.status, rank.err) == (
        2,
        "model.start_from=a holds a LoRA adapter of rank 32, but model.lora_rank=4.\nType model.lora_rank=32\n",
    )
    model = call(*there, "run_dir=c", "model.start_from=a", "model.name=Qwen/Qwen3-8B")
    assert (model.status, model.err) == (
        2,
        "model.start_from=a holds weights of tinkery/tiny, but model.name=Qwen/Qwen3-8B.\n"
        "Choose the same model, or other weights.\n",
    )
    gone = call(*there, "run_dir=d", "model.start_from=tinker://nobody/weights/000001")
    assert gone.status == 2
    assert gone.err.startswith(
        "model.start_from=tinker://nobody/weights/000001: the service has no training state "
        "tinker://nobody/weights/000001.\n  It says: "
    )
    assert gone.err.endswith("each run keeps its own: type the folder of that run.\n")


EXPECTED = "Expected the folder of a run, or the path of a training state, tinker://<run>/weights/<name>."
MISTAKES = {
    "nowhere": f"model.start_from=nowhere: there is no such folder.\n{EXPECTED}",
    "tinker://x": f"model.start_from=tinker://x is not the path of a training state.\n{EXPECTED}",
    "tinker://x/sampler_weights/000001": (
        "model.start_from=tinker://x/sampler_weights/000001 holds weights to sample from, "
        "which cannot be trained on.\nType the state_path that stands beside it in checkpoints.jsonl."
    ),
    "conf": (
        "model.start_from=conf: that folder has no checkpoint on record (checkpoints.jsonl).\n"
        "Wait until its run has saved one, or name another run."
    ),
}


@pytest.mark.parametrize("start", MISTAKES)
@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_what_cannot_be_a_start(start: str, dry_run: str, call: Call, workplace: Path) -> None:
    workplace.joinpath("conf").mkdir()
    ended = call("task=train", "run_dir=here", f"model.start_from={start}", f"dry_run={dry_run}")
    assert (ended.status, ended.err.strip()) == (2, MISTAKES[start])
    assert not Path("here").exists()
