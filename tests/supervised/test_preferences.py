"""Rows to pairs: what is accepted, what is refused in which words, and which batches they make."""

import json
from collections.abc import Mapping
from pathlib import Path

import chz
import pytest
from tinkery_core.backend import LocalBackend
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig
from tinkery_supervised.dpo.config import DPOConfig
from tinkery_supervised.manners import make
from tinkery_supervised.manners.builder import MannersBuilder
from tinkery_supervised.manners.manner import read_manner
from tinkery_supervised.messages import Malformed
from tinkery_supervised.preferences.answers import PreferenceAnswersBuilder
from tinkery_supervised.preferences.dataset import make_pair_datasets
from tinkery_supervised.preferences.pairs import parse_preference
from tinkery_supervised.preferences.sources import HubPreferences, JsonlPreferences
from tinkery_supervised.types import SupervisedSetup

TINY = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3")
USER = {"role": "user", "content": "Say red."}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def config_of(path: Path | str, **changes: object) -> DPOConfig:
    keys = {
        "run_dir": "nowhere",
        "backend": LocalBackend(),
        "model": TINY,
        "preferences": JsonlPreferences(path=str(path)),
        "batch_size": 2,
    }
    return chz.Blueprint(DPOConfig).apply(keys | changes).make()


def write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Say red.", "chosen": "red", "rejected": "blue"},
        {"prompt": [USER], "chosen": "red", "rejected": "blue", "score": 3},
        {"prompt": [USER], "chosen": [said("red")], "rejected": [said("blue")]},
        {"chosen": [USER, said("red")], "rejected": [USER, said("blue")]},
        {"prompt": "Say red.", "chosen": [USER, said("red")], "rejected": [USER, said("blue")]},
    ],
)
def test_the_common_forms_of_a_pair_are_one(row: Mapping[str, object]) -> None:
    pair = parse_preference(row, "here")
    assert (pair.prompt, pair.answers, pair.where) == ([USER], ("red", "blue"), "here")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([], "expected an object with prompt, chosen and rejected, got an empty list"),
        ({"chosen": "a", "rejected": "b"}, "prompt: expected text or a list of messages, got nothing"),
        ({"prompt": "a", "chosen": "b"}, "rejected: expected text or a list of messages, got nothing"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "chosen and rejected are the same"),
        (
            {"chosen": [USER, said("a")], "rejected": [said("?"), said("b")]},
            "chosen and rejected begin differently: they are answers to different prompts",
        ),
        (
            {"prompt": "a", "chosen": [USER], "rejected": [said("b")]},
            "there is no assistant message to learn from",
        ),
    ],
)
def test_what_is_no_pair_is_refused_with_a_reason(row: object, reason: str) -> None:
    with pytest.raises(Malformed) as raised:
        parse_preference(row, "here")
    assert str(raised.value) == reason


def test_only_the_answers_are_targets(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.jsonl", [{"prompt": "Say red.", "chosen": "red", "rejected": "blue dog"}])
    [pair] = (
        make_pair_datasets(JsonlPreferences(path=str(path))("fail"), config_of(path))
        .train.get_batch(0)
        .pairs_D
    )
    chat = TINY.load_chat()
    for side, text in zip(pair.sides, ("red", "blue dog"), strict=True):
        targets = [token for token, weight in zip(side.tokens_T, side.weights_T, strict=True) if weight]
        assert targets == [*chat.encode(text), *chat.stop_tokens]


def test_batches_go_over_the_pairs_pass_by_pass_and_depend_on_their_number_alone(tmp_path: Path) -> None:
    rows = [{"prompt": str(n), "chosen": "a", "rejected": "b"} for n in range(5)]
    path = write(tmp_path / "pairs.jsonl", [*rows])
    config = config_of(path, epochs=2)
    train = make_pair_datasets(config.preferences("fail"), config).train
    assert len(train) == 5
    batches = [train.get_batch(index) for index in range(5)]
    prompts = [tuple(pair.chosen.tokens_T) for batch in batches for pair in batch.pairs_D]
    assert len(set(prompts[:5])) == len(set(prompts[5:])) == 5 and prompts[:5] != prompts[5:]
    again = make_pair_datasets(config.preferences("fail"), config).train
    for index in (3, 0, 4):
        pairs = zip(again.get_batch(index).pairs_D, batches[index].pairs_D, strict=True)
        assert all(one.chosen.tokens_T == other.chosen.tokens_T for one, other in pairs)


def test_a_pair_with_a_cut_answer_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "chosen": "b", "rejected": "b " * 40},
        {"prompt": "a", "chosen": "b", "rejected": "c"},
    ]
    config = config_of(write(tmp_path / "pairs.jsonl", [*rows]), max_length=20)
    metrics = make_pair_datasets(config.preferences("fail"), config).train.get_batch(0).metrics()
    assert (metrics["data/num_pairs"], metrics["data/num_cut_pairs"]) == (1, 1)


def test_bad_rows_are_named_or_skipped_and_counted(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "a", "chosen": "b"}]
    path = write(tmp_path / "pairs.jsonl", [*rows])
    with pytest.raises(UserError) as raised:
        JsonlPreferences(path=str(path))("fail")
    assert str(raised.value) == (
        "1 of 2 rows cannot be trained on:\n"
        f"  {path} line 2: rejected: expected text or a list of messages, got nothing\n"
        "Correct them, or type on_bad_row=skip to train on the others."
    )
    config = config_of(path, on_bad_row="skip")
    metrics = make_pair_datasets(config.preferences("skip"), config).train.get_batch(0).metrics()
    assert (metrics["data/num_pairs"], metrics["data/num_bad_rows"]) == (1, 1)


def test_a_set_with_the_columns_of_ultrafeedback(tmp_path: Path) -> None:
    """`prompt` beside whole conversations; the files are local."""
    folder = tmp_path / "feedback"
    folder.mkdir()
    row = {
        "prompt": "Say red.",
        "prompt_id": "1",
        "chosen": [USER, said("red")],
        "rejected": [USER, said("blue")],
        "score_chosen": 8.0,
    }
    for split in ("train", "test"):
        write(folder / f"{split}.jsonl", [row])
    preferences = HubPreferences(name=str(folder), test_split="test")("fail")
    assert preferences.test is not None and len(preferences.train) == len(preferences.test) == 1
    pair = preferences.train[0]
    assert getattr(pair, "answers", pair) == ("red", "blue")


def test_two_test_sets_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="test_path=b and num_test=3: set one of them"):
        JsonlPreferences(path="a", test_path="b", num_test=3)


def test_the_bundled_pairs_are_what_the_script_writes_and_the_chosen_ones_are_better() -> None:
    assert make.PATH.read_text() == make.text()
    rows = [json.loads(line) for line in make.text().splitlines()]
    questions = [row["prompt"][0]["content"] for row in rows]
    assert len(rows) == len(set(questions)) == 1000
    order = ["kind", "plain", "rude"]
    for row in rows:
        (better, right), (worse, other) = read_manner(row["chosen"]), read_manner(row["rejected"])
        assert (right == other and order.index(better) < order.index(worse)) or (
            right != other and better == worse
        )
    assert (
        sum(read_manner(a)[1] != read_manner(b)[1] for a, b in [(r["chosen"], r["rejected"]) for r in rows])
        == 250
    )


def test_answers_of_pairs_as_conversations(setup: SupervisedSetup) -> None:
    pairs = MannersBuilder(num_test=0)
    chosen = PreferenceAnswersBuilder(preferences=pairs).items(setup).train
    both = PreferenceAnswersBuilder(preferences=pairs, answers="both").items(setup).train
    assert (chosen.num_rows, both.num_rows) == (1000, 2000)
