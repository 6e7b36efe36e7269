"""Sequences of rows: shuffled, streamed and mixed, and the same from any position on."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinkery_core.errors import UserError
from tinkery_supervised.rows import MappedRows, MixedRows, Rows, StreamRows, TableRows, hold_out, take_turns

sizes = st.integers(1, 40)
starts = st.integers(0, 100)
windows = st.integers(1, 50)


def stream(size: int, window: int) -> StreamRows[int]:
    def open_at(start: int) -> Iterator[int]:
        return iter(range(start, size))

    return StreamRows(open_at, window)


def first(rows: Rows[int], count: int, seed: int = 0, start: int = 0) -> list[int]:
    return list(islice(rows.read(seed, start), count))


@given(sizes, windows, starts)
def test_reading_from_any_position_continues_what_stands_before_it(
    size: int, window: int, start: int
) -> None:
    table = TableRows(list(range(size)))
    for rows in (table, stream(size, window), MixedRows({"a": table, "b": stream(9, 4)}, {"a": 1, "b": 2.5})):
        fresh: Rows[int] = MappedRows(lambda row: row, rows)
        assert first(fresh, 30, start=start) == first(fresh, start + 30)[start:]


@given(sizes, windows, starts)
def test_a_stream_may_be_entered_anywhere_before_its_length_is_known(
    size: int, window: int, start: int
) -> None:
    assert first(stream(size, window), 30, start=start) == first(stream(size, window), start + 30)[start:]


@given(sizes, windows)
def test_each_pass_has_every_row_once_in_an_order_of_its_own(size: int, window: int) -> None:
    for rows in (TableRows(list(range(size))), stream(size, window)):
        read = first(rows, 3 * size)
        for number in range(3):
            assert sorted(read[number * size : (number + 1) * size]) == list(range(size))


def test_seeds_and_passes_differ_in_order() -> None:
    for rows in (TableRows(list(range(50))), stream(50, 50)):
        passes = first(rows, 100)
        assert passes[:50] != passes[50:]
        assert first(rows, 50, seed=1) != passes[:50]


def test_a_stream_is_shuffled_within_its_windows_only() -> None:
    read = first(stream(100, 10), 100)
    assert [row // 10 for row in read] == [row // 10 for row in range(100)]
    assert read != sorted(read)


def test_to_enter_a_stream_later_rows_are_skipped_and_not_made() -> None:
    asked: list[int] = []

    def open_at(start: int) -> Iterator[int]:
        asked.append(start)
        return iter(range(start, 1_000_000))

    assert 500_000 <= next(StreamRows(open_at, 100).read(0, 500_050)) < 500_100
    assert asked == [500_050, 500_000]


def test_an_empty_stream_is_refused_rather_than_waited_for() -> None:
    for start in (0, 5):
        with pytest.raises(UserError, match="The stream of rows is empty: there is nothing to train on"):
            next(stream(0, 3).read(0, start))


@given(st.dictionaries(st.text(max_size=2), st.floats(0.1, 10), min_size=1, max_size=5), st.integers(1, 200))
def test_a_mixture_keeps_its_shares_to_within_a_row_each(weights: dict[str, float], count: int) -> None:
    taken = Counter(islice(take_turns(weights), count))
    total = sum(weights.values())
    for name, weight in weights.items():
        assert abs(taken[name] - count * weight / total) < len(weights)


def test_a_mixture_repeats_a_small_source_shuffled_anew() -> None:
    small, large = TableRows([-1, -2, -3]), TableRows(list(range(100)))
    mixed = MixedRows({"small": small, "large": large}, {"small": 1, "large": 1})
    read = first(mixed, 24)
    assert Counter(row for row in read if row < 0) == {-1: 4, -2: 4, -3: 4}
    assert mixed.num_rows == 103
    assert MixedRows({"a": small, "b": stream(5, 5)}, {"a": 1, "b": 1}).num_rows is None


@given(sizes, st.data())
def test_held_out_rows_are_never_trained_on(size: int, data: st.DataObject) -> None:
    num_test = data.draw(st.integers(0, size))
    train, test = hold_out(list(range(size)), num_test)
    assert len(test) == num_test
    assert sorted([train[i] for i in range(len(train))] + [test[i] for i in range(len(test))]) == list(
        range(size)
    )
