"""`train-dpo` through the unmodified SDK, against the embedded server: it learns, and its reference never changes."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import chz
import pytest
from tinkery_core.backend import LocalBackend
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig
from tinkery_core.run import open_run
from tinkery_supervised.dpo.config import DPOConfig
from tinkery_supervised.dpo.train import train
from tinkery_supervised.manners.builder import PATH, MannersBuilder
from tinkery_supervised.preferences.sources import JsonlPreferences

TIMEOUT_S = 300
KILLED_RUNS = Path(__file__).with_name("killed_dpo_runs.py")

Lines = list[dict[str, float]]
Configure = Callable[..., DPOConfig]


@pytest.fixture
def configure_dpo(server_url: str, tmp_path: Path) -> Configure:
    small = {
        "run_dir": str(tmp_path / "run"),
        "max_steps": 3,
        "eval_every": 2,
        "save_every": 2,
        "backend": LocalBackend(base_url=server_url),
        "model": ModelConfig(name="tinkery/tiny", renderer="deepseek-v3"),
        "preferences": MannersBuilder(num_test=16),
        "learning_rate": 1e-3,
        "batch_size": 8,
        "num_answers": 2,
        "max_tokens": 16,
    }

    def make(**changes: object) -> DPOConfig:
        return chz.Blueprint(DPOConfig).apply(small | changes).make()

    return make


async def trained(config: DPOConfig) -> Lines:
    with open_run(config) as run:
        await train(config, run)
    return metrics(config)


def metrics(config: DPOConfig) -> Lines:
    lines = [json.loads(line) for line in (Path(config.run_dir) / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]


def forget_the_end(config: DPOConfig) -> None:
    """As if the run had been killed before its final checkpoint went on record."""
    path = Path(config.run_dir) / "checkpoints.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize("loss", ["sigmoid", "ipo"])
async def test_it_learns_to_tell_the_better_answer(configure_dpo: Configure, loss: str) -> None:
    config = configure_dpo(
        loss=loss, learning_rate=5e-4, max_steps=8, batch_size=16, eval_every=8, save_every=0
    )
    lines = await trained(config)
    assert [line["step"] for line in lines] == list(range(9))
    assert lines[-1]["test/dpo_loss"] < 0.9 * lines[0]["test/dpo_loss"]
    assert lines[-1]["test/accuracy"] >= 0.7
    assert lines[-1]["test/margin"] == pytest.approx(
        lines[-1]["test/chosen_reward"] - lines[-1]["test/rejected_reward"]
    )


async def test_at_the_first_step_policy_and_reference_are_one(configure_dpo: Configure) -> None:
    first = (await trained(configure_dpo(max_steps=1)))[0]
    for side in ("train", "test"):
        assert first[f"{side}/dpo_loss"] == pytest.approx(0.6931472, abs=1e-4)
        assert first[f"{side}/drift"] == pytest.approx(0, abs=1e-5)
        assert first[f"{side}/margin"] == pytest.approx(0, abs=1e-4)
    assert first.keys() >= {"optim/lr", "data/num_pairs", "data/num_cut_pairs", "train/chosen_nll"}


async def test_what_the_reference_has_said_is_not_asked_again(configure_dpo: Configure) -> None:
    config = configure_dpo()
    lines = await trained(config)
    forget_the_end(config)
    with patch("tinkery_supervised.dpo.train.load_reference", side_effect=AssertionError):
        assert await trained(config) == lines


async def test_two_passes_ask_for_each_answer_once(configure_dpo: Configure, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(f"{line}\n" for line in PATH.read_text().splitlines()[:20]))
    preferences = JsonlPreferences(path=str(path), num_test=4)
    config = configure_dpo(preferences=preferences, epochs=2, max_steps=4, eval_every=0)
    assert len(await trained(config)) == 5
    cache = (Path(config.run_dir) / "reference_logprobs.jsonl").read_text().splitlines()
    answers = [key for line in cache for key in json.loads(line)["logprobs"]]
    assert len(answers) == len(set(answers)) == 2 * 20


async def test_without_its_record_of_the_reference_a_run_does_not_resume(configure_dpo: Configure) -> None:
    config = configure_dpo()
    await trained(config)
    forget_the_end(config)
    path = Path(config.run_dir) / "reference.json"
    path.unlink()
    with pytest.raises(UserError) as raised:
        await trained(config)
    assert str(raised.value) == (
        f"{path} is missing, so it is not known which reference this run has been held to until now.\n"
        "Put the file back as it was, or choose another run_dir to start over."
    )


async def test_a_reference_can_be_named_and_is_checked(configure_dpo: Configure, tmp_path: Path) -> None:
    other = configure_dpo(run_dir=str(tmp_path / "other"), max_steps=6)
    await trained(other)
    last = json.loads((tmp_path / "other" / "checkpoints.jsonl").read_text().splitlines()[-1])
    config = configure_dpo(reference=last["state_path"])
    lines = await trained(config)
    assert lines[0]["train/drift"] > 0.01
    record = Path(config.run_dir) / "reference.json"
    assert json.loads(record.read_text()) == {"state_path": last["state_path"]}
    forget_the_end(config)
    record.write_text(json.dumps({"state_path": "tinker://x/weights/y"}))
    with pytest.raises(UserError, match=r"reference.json names tinker://x/weights/y, so it is not known"):
        await trained(config)


async def test_a_reference_that_is_not_there_is_named(configure_dpo: Configure) -> None:
    config = configure_dpo(reference="tinker://nobody/weights/nothing")
    with pytest.raises(UserError) as raised:
        await trained(config)
    first, said, advice = str(raised.value).splitlines()
    assert first == "reference=tinker://nobody/weights/nothing cannot be loaded."
    assert said.startswith("  The service says: ")
    assert advice.startswith(
        "Name the state_path of a checkpoint that this service has, or leave the key out"
    )


def test_labels_of_ipo_are_not_smoothed(configure_dpo: Configure) -> None:
    with pytest.raises(ValueError, match=r"label_smoothing=0.1 has no meaning for loss=ipo: leave it out"):
        configure_dpo(loss="ipo", label_smoothing=0.1)


def test_a_run_folder_is_no_reference(configure_dpo: Configure) -> None:
    with pytest.raises(ValueError, match="reference=runs/x is not the path of a training state: expected"):
        configure_dpo(reference="runs/x")


def test_killed_runs_end_like_an_unbroken_one_and_keep_their_reference(
    configure_dpo: Configure, server_store: Path, tmp_path: Path
) -> None:
    points = {
        0: ("scored=4", "record=2", "line=3", "end"),
        2: ("line=2", "scored=2", "record=5", "end"),
    }
    small = {"max_steps": 5, "batch_size": 4, "preferences": MannersBuilder(num_test=4)}
    unbroken = configure_dpo(run_dir=str(tmp_path / "unbroken"), **small)
    run_script(unbroken, tmp_path, "end")
    for submit_ahead, at in points.items():
        killed = configure_dpo(
            run_dir=str(tmp_path / f"killed{submit_ahead}"), submit_ahead=submit_ahead, **small
        )
        run_script(killed, tmp_path, *at)
        assert [line["step"] for line in metrics(killed)] == [0, 1, 2, 3, 4, 5]
        assert metrics(killed) == metrics(unbroken)
        assert final_weights(killed, server_store) == final_weights(unbroken, server_store)
        assert cached(killed) == cached(unbroken)


def run_script(config: DPOConfig, folder: Path, *points: str) -> None:
    pickled = folder / f"{Path(config.run_dir).name}.pickle"
    pickled.write_bytes(pickle.dumps(config))
    subprocess.run([sys.executable, str(KILLED_RUNS), str(pickled), *points], check=True, timeout=TIMEOUT_S)


def cached(config: DPOConfig) -> list[object]:
    """What the reference said, request by request."""
    lines = (Path(config.run_dir) / "reference_logprobs.jsonl").read_text().splitlines()
    return [json.loads(line)["logprobs"] for line in lines]


def final_weights(config: DPOConfig, store: Path) -> dict[str, bytes]:
    """The files of the final checkpoint, weights and optimizer."""
    last = json.loads((Path(config.run_dir) / "checkpoints.jsonl").read_text().splitlines()[-1])
    assert last["kind"] == "final"
    folder = store / str(last["state_path"]).removeprefix("tinker://")
    files = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    assert files
    return files
