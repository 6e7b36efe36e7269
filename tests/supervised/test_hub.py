"""Data sets of the hub, on small copies made here with the same columns: as tables, as streams, and what goes wrong."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import chz
import pytest
from tinkery_core.config.compose import compose
from tinkery_core.config.loader import make_loader
from tinkery_core.config.resolve import resolve
from tinkery_core.errors import UserError
from tinkery_supervised.config import SupervisedConfig
from tinkery_supervised.hub import HubBuilder, HubRow, PromptAndAnswer, RowMapping
from tinkery_supervised.types import SupervisedDataset, SupervisedSetup


def turns(n: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Repeat: {n}"}, {"role": "assistant", "content": f"{n}"}]


def no_robots_row(n: int) -> Mapping[str, object]:
    return {"prompt": f"Repeat: {n}", "prompt_id": f"{n:064x}", "messages": turns(n), "category": "Rewrite"}


def tulu3_row(n: int) -> Mapping[str, object]:
    return {"id": f"source_{n}", "messages": turns(n), "source": "ai2-adapt-dev/source"}


@pytest.fixture
def no_robots(tmp_path: Path) -> Path:
    return write(tmp_path / "no_robots", train=[no_robots_row(n) for n in range(12)],
                 test=[no_robots_row(n) for n in range(20, 25)])  # fmt: skip


@pytest.fixture
def tulu3(tmp_path: Path) -> Path:
    return write(tmp_path / "tulu3", train=[tulu3_row(n) for n in range(30)])


def write(folder: Path, **splits: list[Mapping[str, object]]) -> Path:
    folder.mkdir()
    for split, rows in splits.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def numbers(dataset: SupervisedDataset | None, setup: SupervisedSetup) -> list[int]:
    """The number in each conversation, batch by batch."""
    assert dataset is not None
    chat = setup.model.load_chat()
    batches = [dataset.get_batch(index) for index in range(len(dataset))]
    return [
        int(chat.decode([t for t, w in zip(e.tokens_T, e.weights_T, strict=True) if w]).partition("<")[0])
        for batch in batches
        for e in batch.examples_D
    ]


def experiment(name: str, *overrides: str) -> SupervisedConfig:
    loader = make_loader("tinkery_supervised.conf", None)
    typed = [f"+experiment={name}", "model=tiny", *overrides]
    return resolve(SupervisedConfig, compose(loader, "train_sft", "train-sft", typed))


def test_no_robots_trains_on_one_split_and_tests_on_the_other(no_robots: Path) -> None:
    config = experiment("no_robots", f"dataset.name={no_robots}")
    datasets = config.dataset(config.setup)
    assert sorted(numbers(datasets.train, config.setup)) == list(range(12))
    assert numbers(datasets.test, config.setup) == list(range(20, 25))


def test_tulu3_holds_rows_out_of_its_only_split(tulu3: Path) -> None:
    config = experiment("tulu3", f"dataset.name={tulu3}", "dataset.num_test=10", "batch_size=8")
    datasets = config.dataset(config.setup)
    train, test = numbers(datasets.train, config.setup), numbers(datasets.test, config.setup)
    assert len(datasets.train) == 3
    assert len(test) == 10
    assert sorted(train + test) == list(range(30))


def test_a_stream_holds_out_its_first_rows_and_resumes_anywhere(tulu3: Path, setup: SupervisedSetup) -> None:
    builder = HubBuilder(name=str(tulu3), num_test=6, stream=True, shuffle_window=5)
    setup = replace(setup, max_steps=10)
    datasets = builder(setup)
    train = numbers(datasets.train, setup)
    assert numbers(datasets.test, setup) == list(range(6))
    assert sorted(train[:24]) == list(range(6, 30))
    assert len(train) == 40
    fresh = builder(setup).train.get_batch(7)
    again = datasets.train.get_batch(7)
    assert [e.tokens_T for e in fresh.examples_D] == [e.tokens_T for e in again.examples_D]


def test_a_stream_may_have_a_test_split(no_robots: Path, setup: SupervisedSetup) -> None:
    builder = HubBuilder(name=str(no_robots), test_split="test", stream=True)
    assert numbers(builder(replace(setup, max_steps=1)).test, setup) == list(range(20, 25))


def test_a_stream_needs_an_end(tulu3: Path, setup: SupervisedSetup) -> None:
    builder = HubBuilder(name=str(tulu3), stream=True)
    with pytest.raises(
        UserError, match="length of a stream is not known, so the run needs another end: set max_steps"
    ):
        builder(setup)
    with pytest.raises(UserError, match="epochs=2 has no meaning for a stream: set max_steps alone"):
        builder(replace(setup, max_steps=1, epochs=2))


@chz.chz
class Shouting(RowMapping):
    """A mapping of one's own."""

    def __call__(self, row: HubRow) -> object:
        messages = [
            {"role": "user", "content": str(row["id"])},
            {"role": "assistant", "content": str(row["id"]).upper()},
        ]
        return {"messages": messages}


def test_other_columns_become_messages_by_a_mapping(
    tulu3: Path, no_robots: Path, setup: SupervisedSetup
) -> None:
    chat = setup.model.load_chat()
    own = HubBuilder(name=str(tulu3), rows=Shouting())(setup).train.get_batch(0)
    assert "SOURCE_" in chat.decode(own.examples_D[0].tokens_T)
    mapping = PromptAndAnswer(answer="category", system="Classify.")
    pair = HubBuilder(name=str(no_robots), rows=mapping)(setup).train.get_batch(0)
    assert "Classify.<｜User｜>Repeat: " in chat.decode(pair.examples_D[0].tokens_T)
    assert "<｜Assistant｜>Rewrite<" in chat.decode(pair.examples_D[0].tokens_T)


def test_a_bad_row_ends_the_run_with_its_place(tulu3: Path, setup: SupervisedSetup) -> None:
    with pytest.raises(UserError) as raised:
        HubBuilder(name=str(tulu3), rows=PromptAndAnswer())(setup).train.get_batch(0)
    assert str(raised.value).startswith(f"{tulu3} row ")
    assert "there is no column prompt; the columns are id, messages, source" in str(raised.value)
    assert str(raised.value).endswith("Correct the row, or type on_bad_row=skip to train on the others.")


@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_opened_is_named(stream: bool, tulu3: Path, setup: SupervisedSetup) -> None:
    setup = replace(setup, max_steps=1)
    with pytest.raises(UserError) as raised:
        HubBuilder(name=str(tulu3), split="validation", stream=stream)(setup).train.get_batch(0)
    assert str(raised.value).startswith(
        f"The data set {tulu3}, split validation, cannot be read.\n  datasets says: "
    )
    with pytest.raises(UserError, match="The data set nobody/nothing, split train, cannot be read"):
        HubBuilder(name="nobody/nothing", stream=stream)(setup).train.get_batch(0)


def test_without_the_package_it_says_what_to_install(
    setup: SupervisedSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"Type: uv add 'tinkery-supervised\[datasets\]'"):
        HubBuilder(name="allenai/tulu-3-sft-mixture")(setup)


@pytest.mark.parametrize("name", ["sft_small", "no_robots", "tulu3"])
def test_each_experiment_is_composed_with_the_model_it_is_for(name: str) -> None:
    loader = make_loader("tinkery_supervised.conf", None)
    config = resolve(SupervisedConfig, compose(loader, "train_sft", "train-sft", [f"+experiment={name}"]))
    assert config.model.name == ("tinkery/tiny" if name == "sft_small" else "Qwen/Qwen3-8B")


@pytest.mark.parametrize(
    "typed",
    [["dataset=parrot"], ["dataset=jsonl", "dataset.path=a.jsonl"], ["dataset=hub", "dataset.name=a/b"],
     ["dataset=no_robots"], ["dataset=tulu3"]],
)  # fmt: skip
def test_each_dataset_is_composed(typed: list[str]) -> None:
    loader = make_loader("tinkery_supervised.conf", None)
    resolve(SupervisedConfig, compose(loader, "train_sft", "train-sft", typed))
