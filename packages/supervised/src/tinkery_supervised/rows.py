"""Endless sequences of rows that resume exactly: what stands at a position depends on position and seed alone.

A row is whatever a source holds: a parsed conversation, a pair to prefer from. Sources compose: rows are shuffled
pass by pass, mapped to examples, and mixed by weight, whether they are a table or a stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Generic, Protocol, TypeVar

from tinkery_core.errors import UserError

RowT = TypeVar("RowT")
RowT_co = TypeVar("RowT_co", covariant=True)
MadeT = TypeVar("MadeT")


class Rows(ABC, Generic[RowT]):
    """Pass after pass over a set of rows, each pass in an order of its own."""

    @property
    @abstractmethod
    def num_rows(self) -> int | None:
        """The rows of one pass; None where that shows only at its end (a stream)."""

    @abstractmethod
    def read(self, seed: int, start: int) -> Iterator[RowT]:
        """The rows from position `start` ≥ 0 on, without end."""


class Table(Protocol[RowT_co]):
    """Rows that are reached by their index, from 0 on; a list is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> RowT_co: ...


class TableRows(Rows[RowT]):
    """The rows of a table, which has at least one."""

    def __init__(self, table: Table[RowT]) -> None:
        self.table = table

    @property
    def num_rows(self) -> int:
        return len(self.table)

    def read(self, seed: int, start: int) -> Iterator[RowT]:
        first_pass, offset = divmod(start, len(self.table))
        for number in count(first_pass):
            for index in _order(len(self.table), seed, number)[offset:]:
                yield self.table[index]
            offset = 0


class StreamRows(Rows[RowT]):
    """Rows that come one after the other and need not fit in memory or on disk; they are shuffled within windows.

    `open_at(n)` begins a pass after its first `n` rows. To start somewhere, the rows before are skipped, not made.
    """

    def __init__(self, open_at: Callable[[int], Iterator[RowT]], window: int) -> None:
        self.open_at = open_at
        self.window = window
        self._length: int | None = None

    @property
    def num_rows(self) -> None:
        return None

    def read(self, seed: int, start: int) -> Iterator[RowT]:
        number, offset = self._place(start)
        while True:
            position = offset - offset % self.window
            rows = self.open_at(position)
            while window := list(islice(rows, self.window)):
                order = _order(len(window), seed, number, position)
                for index in order[max(offset - position, 0) :]:
                    yield window[index]
                position += len(window)
            if position == 0:
                raise UserError("The stream of rows is empty: there is nothing to train on.")
            self._length = position
            number, offset = number + 1, 0

    def _place(self, start: int) -> tuple[int, int]:
        """The number of the pass that a position belongs to, and the offset in it."""
        if self._length is None:
            if start == 0 or next(self.open_at(start), None) is not None:
                return 0, start  # within the first pass, whose length nobody knows yet
            self._length = sum(1 for _ in self.open_at(0))
        return divmod(start, self._length) if self._length else (0, 0)


class MappedRows(Rows[MadeT], Generic[RowT, MadeT]):
    """What a function makes of each row, when it is read."""

    def __init__(self, function: Callable[[RowT], MadeT], rows: Rows[RowT]) -> None:
        self.function = function
        self.rows = rows

    @property
    def num_rows(self) -> int | None:
        return self.rows.num_rows

    def read(self, seed: int, start: int) -> Iterator[MadeT]:
        return map(self.function, self.rows.read(seed, start))


class MixedRows(Rows[RowT]):
    """Several sources by weight: in any stretch, each has its share of the rows to within one.

    A pass has as many rows as all sources together, but which those are is up to the weights.
    """

    def __init__(self, rows: Mapping[str, Rows[RowT]], weights: Mapping[str, float]) -> None:
        self.rows = rows
        self.weights = weights

    @property
    def num_rows(self) -> int | None:
        sizes = [rows.num_rows for rows in self.rows.values()]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    def read(self, seed: int, start: int) -> Iterator[RowT]:
        turns = take_turns(self.weights)
        taken = dict.fromkeys(self.rows, 0)
        for name in islice(turns, start):
            taken[name] += 1
        sources = {name: rows.read(seed, taken[name]) for name, rows in self.rows.items()}
        for name in turns:
            yield next(sources[name])


def take_turns(weights: Mapping[str, float]) -> Iterator[str]:
    """Names in proportion to their weights: next comes the one whose next share is due first."""
    taken = dict.fromkeys(weights, 0)
    while True:
        name = min(weights, key=lambda name: (taken[name] + 0.5) / weights[name])
        taken[name] += 1
        yield name


class Picked(Generic[RowT]):
    """Some rows of a table, by their indices."""

    def __init__(self, table: Table[RowT], indices: Sequence[int]) -> None:
        self.table = table
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> RowT:
        return self.table[self.indices[index]]


def hold_out(table: Table[RowT], num_test: int) -> tuple[Picked[RowT], Picked[RowT]]:
    """Some rows to train on and `num_test` to test on, the same ones whatever the seed of the run."""
    order = _order(len(table), 0)
    return Picked(table, sorted(order[num_test:])), Picked(table, sorted(order[:num_test]))


def _order(size: int, *key: int) -> list[int]:
    """A permutation of range(size) that depends on the key alone."""
    import numpy as np

    return np.random.default_rng([number % 2**32 for number in key]).permutation(size).tolist()
