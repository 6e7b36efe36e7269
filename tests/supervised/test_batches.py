"""From files to batches: sizes, budgets, splits, mixtures, and rows that are left out."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tinkery_core.errors import UserError
from tinkery_supervised.jsonl import JsonlBuilder
from tinkery_supervised.mixture import MixtureBuilder
from tinkery_supervised.types import Batch, SupervisedDataset, SupervisedDatasets, SupervisedSetup

WriteChats = Callable[..., Path]


def chats(count: int, word: str = "cat") -> list[object]:
    """Conversations of different lengths that are told apart by the number in them."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"Repeat: {n}"},
                {"role": "assistant", "content": f"{n} " + word * (1 + n % 7)},
            ]
        }
        for n in range(count)
    ]


def keys(batch: Batch) -> list[tuple[int, ...]]:
    return [tuple(example.tokens_T) for example in batch.examples_D]


def all_keys(dataset: SupervisedDataset) -> list[list[tuple[int, ...]]]:
    return [keys(dataset.get_batch(index)) for index in range(len(dataset))]


@pytest.fixture
def built(write_chats: WriteChats, setup: SupervisedSetup) -> Callable[..., SupervisedDatasets]:
    """The datasets of 10 conversations."""

    def build(num_test: int = 0, **changes: int | str | None) -> SupervisedDatasets:
        path = write_chats(chats(10))
        return JsonlBuilder(path=str(path), num_test=num_test)(replace(setup, **changes))

    return build


def test_every_epoch_has_every_row_once_and_the_last_batch_is_short(
    built: Callable[..., SupervisedDatasets],
) -> None:
    batches = all_keys(built(epochs=2, batch_size=8).train)
    assert [len(batch) for batch in batches] == [8, 8, 4]
    rows = [key for batch in batches for key in batch]
    assert len(set(rows[:10])) == len(set(rows[10:])) == 10
    assert rows[:10] != rows[10:]


@pytest.mark.parametrize("batch_tokens", [None, 60])
def test_a_batch_is_the_same_whatever_was_read_before(
    batch_tokens: int | None, built: Callable[..., SupervisedDatasets]
) -> None:
    def make() -> SupervisedDataset:
        return built(epochs=3, batch_tokens=batch_tokens).train

    in_order = all_keys(make())
    backwards, jumping = make(), make()
    assert [keys(backwards.get_batch(i)) for i in reversed(range(len(in_order)))] == in_order[::-1]
    assert [keys(jumping.get_batch(i)) for i in (5, 2, 2, 6)] == [in_order[i] for i in (5, 2, 2, 6)]
    assert [keys(make().get_batch(i)) for i in range(len(in_order))] == in_order


def test_a_budget_of_tokens_fills_batches_as_far_as_it_goes(built: Callable[..., SupervisedDatasets]) -> None:
    batches = all_keys(built(epochs=2, batch_size=100, batch_tokens=60).train)
    assert sum(len(batch) for batch in batches) == 20
    sizes = [sum(map(len, batch)) for batch in batches]
    assert max(sizes) <= 60
    for size, following in zip(sizes, batches[1:], strict=False):
        assert size + len(following[0]) > 60


def test_an_example_larger_than_the_budget_is_a_batch_of_its_own(
    built: Callable[..., SupervisedDatasets],
) -> None:
    assert [len(batch) for batch in all_keys(built(batch_tokens=1).train)] == [1] * 10


def test_the_number_of_rows_bounds_a_batch_with_a_budget_too(
    built: Callable[..., SupervisedDatasets],
) -> None:
    assert [len(batch) for batch in all_keys(built(batch_size=4, batch_tokens=10_000).train)] == [4, 4, 2]


def test_with_a_budget_max_steps_bounds_the_batches_and_adds_none(
    built: Callable[..., SupervisedDatasets],
) -> None:
    all_of_them = len(built(batch_tokens=60).train)
    assert [len(built(batch_tokens=60, max_steps=n).train) for n in (1, 2, all_of_them, 1000)] == [
        1,
        2,
        all_of_them,
        all_of_them,
    ]


def test_the_seed_orders_the_training_rows_and_leaves_the_test_alone(
    built: Callable[..., SupervisedDatasets],
) -> None:
    first, other = built(num_test=3), built(num_test=3, seed=1)
    assert first.test is not None and other.test is not None
    assert all_keys(first.test) == all_keys(other.test)
    assert all_keys(first.train) != all_keys(other.train)
    flat = [key for batch in all_keys(first.train) + all_keys(first.test) for key in batch]
    assert len(flat) == len(set(flat)) == 10


def test_a_file_of_its_own_may_be_the_test(write_chats: WriteChats, setup: SupervisedSetup) -> None:
    train, test = write_chats(chats(4)), write_chats(chats(6, "dog"), "test.jsonl")
    datasets = JsonlBuilder(path=str(train), test_path=str(test))(setup)
    assert datasets.test is not None
    assert [len(batch) for batch in all_keys(datasets.test)] == [4, 2]


BROKEN: list[object] = [
    *chats(2),
    "",
    {"messages": "Hi"},
    '{"messages": [',
    *chats(3)[2:],
]


def test_bad_rows_end_the_run_before_it_starts_with_file_line_and_reason(
    write_chats: WriteChats, setup: SupervisedSetup
) -> None:
    path = write_chats(BROKEN)
    with pytest.raises(UserError) as raised:
        JsonlBuilder(path=str(path))(setup)
    assert str(raised.value) == (
        "2 of 5 rows cannot be trained on:\n"
        f"  {path} line 4: messages: expected a list of messages, got text\n"
        f"  {path} line 5: not JSON: Expecting value at column 15\n"
        "Correct them, or type on_bad_row=skip to train on the others."
    )


def test_bad_rows_are_left_out_and_counted_if_they_are_to_be_skipped(
    write_chats: WriteChats, setup: SupervisedSetup
) -> None:
    path = write_chats(BROKEN)
    path.write_bytes(path.read_bytes() + b'{"messages": "\xff"}\n')
    batch = JsonlBuilder(path=str(path))(replace(setup, on_bad_row="skip", batch_size=10)).train.get_batch(0)
    assert len(batch.examples_D) == 3
    assert sorted(row.reason for row in batch.bad_rows) == [
        "messages: expected a list of messages, got text",
        "not JSON: Expecting value at column 15",
        "not UTF-8: invalid start byte at byte 14",
    ]
    assert batch.metrics()["data/num_bad_rows"] == 3


def test_what_is_cut_and_what_has_nothing_left_to_learn_is_counted(
    write_chats: WriteChats, setup: SupervisedSetup
) -> None:
    prompt_alone = {
        "messages": [{"role": "user", "content": "cat " * 50}, {"role": "assistant", "content": "Hi"}]
    }
    answer_cut = {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "cat " * 50}]
    }
    path = write_chats([prompt_alone, answer_cut, *chats(1)])
    batch = JsonlBuilder(path=str(path))(replace(setup, max_length=20)).train.get_batch(0)
    metrics = batch.metrics()
    assert metrics["data/num_examples"] == 2
    assert metrics["data/num_idle_rows"] == 1
    assert metrics["data/num_cut_examples"] == 1
    assert metrics["data/num_cut_tokens"] > 30
    assert metrics["data/num_tokens"] == sum(len(example.tokens_T) for example in batch.examples_D)
    assert metrics["data/num_targets"] == sum(example.weights_T.sum() for example in batch.examples_D)


def test_a_mixture_draws_by_weight_and_tests_on_all_its_sources(
    write_chats: WriteChats, setup: SupervisedSetup
) -> None:
    cats, dogs = write_chats(chats(30, "cat"), "cats.jsonl"), write_chats(chats(10, "dog"), "dogs.jsonl")
    mixture = MixtureBuilder(
        sources={
            "cats": JsonlBuilder(path=str(cats), num_test=5),
            "dogs": JsonlBuilder(path=str(dogs), num_test=3),
        },
        weights={"cats": 1, "dogs": 3},
    )
    datasets = mixture(replace(setup, batch_size=8))
    chat = setup.model.load_chat()
    assert len(datasets.train) == 4  # 25 + 7 rows
    for batch in all_keys(datasets.train):
        assert sum("dog" in chat.decode(list(key)) for key in batch) == 6
    assert datasets.test is not None
    assert ["dog" in chat.decode(list(key)) for batch in all_keys(datasets.test) for key in batch] == (
        [False] * 5 + [True] * 3
    )


def test_a_mixture_without_a_weight_for_each_source_is_refused() -> None:
    source = JsonlBuilder(path="a.jsonl")
    with pytest.raises(ValueError, match=r"sources \(a\) and weights \(b\) must have the same names"):
        MixtureBuilder(sources={"a": source}, weights={"b": 1})
    with pytest.raises(ValueError, match="weights must be more than 0"):
        MixtureBuilder(sources={"a": source}, weights={"a": 0})


def test_a_split_that_leaves_nothing_is_refused(built: Callable[..., SupervisedDatasets]) -> None:
    with pytest.raises(UserError, match="has 10 rows, and num_test=10 leaves none of them to train on"):
        built(num_test=10)


def test_a_missing_file_is_named(setup: SupervisedSetup) -> None:
    with pytest.raises(UserError, match=r"path=nowhere\.jsonl: there is no such file"):
        JsonlBuilder(path="nowhere.jsonl")(setup)


def test_two_test_sets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"test_path=b\.jsonl and num_test=3: set one of them"):
        JsonlBuilder(path="a.jsonl", test_path="b.jsonl", num_test=3)


def test_rows_are_read_from_disk_when_they_are_needed(
    write_chats: WriteChats, setup: SupervisedSetup
) -> None:
    """So that a file may be larger than memory: a row that changes after the file was opened shows its change."""
    path = write_chats(chats(4))
    train = JsonlBuilder(path=str(path))(setup).train
    path.write_text(path.read_text().replace("Repeat", "repeat"))
    chat = setup.model.load_chat()
    assert all("repeat" in chat.decode(list(key)) for key in keys(train.get_batch(0)))
    assert json.loads(path.read_text().splitlines()[0])
