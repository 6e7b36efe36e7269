"""From endless items to numbered batches: by a number of examples, and by a budget of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinkery_core.errors import UserError

from tinkery_supervised.rows import Rows, Table
from tinkery_supervised.types import (
    BadRow,
    Batch,
    Example,
    Item,
    OnBadRow,
    SupervisedDataset,
    SupervisedDatasets,
    SupervisedSetup,
)


@dataclass(frozen=True)
class Items:
    """What a source has to train on and, held out, to test on."""

    train: Rows[Item]
    test: Table[Item] | None


def make_datasets(items: Items, setup: SupervisedSetup) -> SupervisedDatasets:
    """The batches of a run. Raises UserError if nothing says how many there are."""
    train = TrainBatches(Reader(items.train, setup.seed), _num_items(items.train, setup), setup)
    return SupervisedDatasets(train, None if items.test is None else TestBatches(items.test, setup))


def _num_items(rows: Rows[Item], setup: SupervisedSetup) -> int | None:
    """How many items the run takes at most; None for a stream, which ends with `max_steps` only."""
    if rows.num_rows is not None:
        return rows.num_rows * setup.epochs
    if setup.max_steps is None:
        raise UserError(
            "The length of a stream is not known, so the run needs another end: set max_steps, e.g. max_steps=1000"
        )
    if setup.epochs != 1:
        raise UserError(f"epochs={setup.epochs} has no meaning for a stream: set max_steps alone")
    return None


class Reader:
    """Reads items at any position; to go on from where it stands costs nothing, whatever the rows are."""

    def __init__(self, rows: Rows[Item], seed: int) -> None:
        self.rows = rows
        self.seed = seed
        self._position = -1
        self._item: Item | None = None
        self._following = rows.read(seed, 0)

    def at(self, position: int) -> Item:
        """The item at `position`."""
        if self._item is None or position != self._position:
            if position != self._position + 1:
                self._following = self.rows.read(self.seed, position)
            self._item, self._position = next(self._following), position
        return self._item


class TrainBatches(SupervisedDataset):
    """Batches in the order of the items: each begins where the one before ends.

    With a budget of tokens, where a batch begins depends on the lengths of all examples before it: they are
    tokenised to find out. So is all of the data for the number of batches, unless it has rows enough for `max_steps`.
    """

    def __init__(self, reader: Reader, num_items: int | None, setup: SupervisedSetup) -> None:
        self.reader = reader
        self.num_items = num_items
        self.setup = setup
        self._starts = [0]  # with a budget of tokens: where the batches begin, as far as known
        self._last: tuple[int, list[Item]] = (-1, [])

    def __len__(self) -> int:
        limit, size = self.setup.max_steps, self.setup.batch_size
        if self.num_items is None:
            assert limit is not None
            return limit
        if limit is not None and self.num_items >= limit * size:
            return limit
        if self.setup.batch_tokens is None:
            return -(-self.num_items // size)
        while self._starts[-1] < self.num_items and (limit is None or len(self._starts) <= limit):
            self._items(len(self._starts) - 1)
        return len(self._starts) - 1

    def get_batch(self, index: int) -> Batch:
        return make_batch(self._items(index), self.setup.on_bad_row)

    def _items(self, index: int) -> list[Item]:
        if self._last[0] != index:
            start = self._start(index)
            items = self._cut(start)
            self._last = (index, items)
            if index == len(self._starts) - 1:
                self._starts.append(start + len(items))
        return self._last[1]

    def _start(self, index: int) -> int:
        if self.setup.batch_tokens is None:
            return index * self.setup.batch_size
        while len(self._starts) <= index:
            self._items(len(self._starts) - 1)
        return self._starts[index]

    def _cut(self, start: int) -> list[Item]:
        """The items of the batch that begins at `start`: as many as fit, and at least one."""
        end = start + self.setup.batch_size
        if self.num_items is not None:
            end = min(end, self.num_items)
        items: list[Item] = []
        num_tokens = 0
        for position in range(start, end):
            item = self.reader.at(position)
            num_tokens += len(item.tokens_T) if isinstance(item, Example) else 0
            if items and self.setup.batch_tokens is not None and num_tokens > self.setup.batch_tokens:
                break
            items.append(item)
        return items


class TestBatches(SupervisedDataset):
    """All rows of a table once, in their order."""

    def __init__(self, table: Table[Item], setup: SupervisedSetup) -> None:
        self.table = table
        self.setup = setup

    def __len__(self) -> int:
        return -(-len(self.table) // self.setup.batch_size)

    def get_batch(self, index: int) -> Batch:
        start = index * self.setup.batch_size
        end = min(start + self.setup.batch_size, len(self.table))
        return make_batch([self.table[row] for row in range(start, end)], self.setup.on_bad_row)


def make_batch(items: Sequence[Item], on_bad_row: OnBadRow) -> Batch:
    """The examples among the items that have something to learn. Raises UserError for a bad row, if it is not to be
    skipped.
    """
    bad_rows = [item for item in items if isinstance(item, BadRow)]
    if bad_rows and on_bad_row == "fail":
        raise UserError(f"{bad_rows[0]}\nCorrect the row, or type on_bad_row=skip to train on the others.")
    examples = [item for item in items if isinstance(item, Example)]
    examples_D = [example for example in examples if example.num_targets]
    return Batch(examples_D, bad_rows, len(examples) - len(examples_D))
