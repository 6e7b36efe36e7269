"""Pairs in numbered batches, and where they come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import chz
from tinkery_core.errors import UserError

from tinkery_supervised.dataset import MappedTable
from tinkery_supervised.preferences.pairs import Pair, Preference, render_pair
from tinkery_supervised.rows import MappedRows, Rows, Table, TableRows
from tinkery_supervised.types import BadRow, OnBadRow

if TYPE_CHECKING:
    from tinkery_supervised.config import TrainerConfig


@dataclass(frozen=True)
class Preferences:
    """What a source has to train on and, held out, to test on; a row that is no preference is a BadRow."""

    train: Table[Preference | BadRow]
    test: Table[Preference | BadRow] | None


@chz.chz
class PreferencesBuilder(ABC):
    """Configuration of the data: what the `dataset` group of `train-dpo` holds."""

    @abstractmethod
    def __call__(self, on_bad_row: OnBadRow) -> Preferences:
        """Open the source. Raises UserError if it cannot be opened, or for bad rows that it finds at once."""


def good(row: Preference | BadRow) -> Preference:
    """The row, if it is a preference. Raises UserError if not."""
    if isinstance(row, BadRow):
        raise UserError(f"{row}\nCorrect the row, or leave it out of the data.")
    return row


@dataclass(frozen=True)
class PairBatch:
    """The pairs of one step, and the rows that were left out.

    A pair is left out if one of its answers is cut off: what is left of it is not what was preferred.
    """

    pairs_D: Sequence[Pair]
    bad_rows: Sequence[BadRow] = ()
    num_cut: int = 0

    def metrics(self) -> dict[str, float]:
        """`data/…`: what the batch holds, and what was left out."""
        sides = [side for pair in self.pairs_D for side in pair.sides]
        counts = {
            "num_pairs": len(self.pairs_D),
            "num_tokens": sum(len(side.tokens_T) for side in sides),
            "num_targets": sum(side.num_targets for side in sides),
            "num_cut_pairs": self.num_cut,
            "num_bad_rows": len(self.bad_rows),
        }
        return {f"data/{name}": float(count) for name, count in counts.items()}


class PairBatches:
    """Batches to train on, pass after pass, each in an order of its own. Batch `i` is a pure function of `i`."""

    def __init__(self, rows: Rows[Pair | BadRow], num_rows: int, config: TrainerConfig) -> None:
        self.rows = rows
        self.num_rows = num_rows
        self.config = config

    def __len__(self) -> int:
        return -(-self.num_rows * self.config.epochs // self.config.batch_size)

    def get_batch(self, index: int) -> PairBatch:
        """Batch `index`, 0 ≤ index < len(self). Raises UserError for a bad row, unless those are to be skipped."""
        start = index * self.config.batch_size
        end = min(start + self.config.batch_size, self.num_rows * self.config.epochs)
        rows = islice(self.rows.read(self.config.seed, start), end - start)
        return make_pair_batch(rows, self.config.on_bad_row)


@dataclass(frozen=True)
class PairDatasets:
    """Batches to train on, and the held-out pairs, in batches too; there may be none."""

    train: PairBatches
    test: Table[Pair | BadRow]
    config: TrainerConfig

    def load_test(self) -> list[PairBatch]:
        """All held-out pairs. Raises UserError as `get_batch` does."""
        size = self.config.batch_size
        return [
            make_pair_batch(
                [self.test[row] for row in range(start, min(start + size, len(self.test)))],
                self.config.on_bad_row,
            )
            for start in range(0, len(self.test), size)
        ]


def make_pair_datasets(preferences: Preferences, config: TrainerConfig) -> PairDatasets:
    """The pairs of a source, rendered for a model when they are read."""
    chat = config.model.load_chat()

    def to_pair(row: Preference | BadRow) -> Pair | BadRow:
        return row if isinstance(row, BadRow) else render_pair(row, chat, config.max_length)

    test: Table[Pair | BadRow] = []
    if preferences.test is not None:
        test = MappedTable(to_pair, preferences.test)
    rows = MappedRows(to_pair, TableRows(preferences.train))
    return PairDatasets(PairBatches(rows, len(preferences.train), config), test, config)


def make_pair_batch(rows: Iterable[Pair | BadRow], on_bad_row: OnBadRow) -> PairBatch:
    """The whole pairs among the rows. Raises UserError for a bad row, if it is not to be skipped."""
    rows = list(rows)
    bad_rows = [row for row in rows if isinstance(row, BadRow)]
    if bad_rows and on_bad_row == "fail":
        raise UserError(f"{bad_rows[0]}\nCorrect the row, or type on_bad_row=skip to train on the others.")
    pairs = [row for row in rows if isinstance(row, Pair)]
    whole = [pair for pair in pairs if not any(side.num_cut for side in pair.sides)]
    return PairBatch(whole, bad_rows, len(pairs) - len(whole))
