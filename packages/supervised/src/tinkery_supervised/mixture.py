"""Several sources at once, by weight."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import chz

from tinkery_supervised.batches import Items
from tinkery_supervised.dataset import ItemsBuilder
from tinkery_supervised.rows import MixedRows, Table
from tinkery_supervised.types import Item, SupervisedSetup


@chz.chz
class MixtureBuilder(ItemsBuilder):
    """Sources by name, drawn from in proportion to their weights; their test sets are tested on together.

    An epoch has as many rows as all sources together. A source whose weight asks for more rows than it has begins
    again, shuffled anew.
    """

    sources: Mapping[str, ItemsBuilder] = chz.field(doc="sources by name")
    weights: Mapping[str, float] = chz.field(
        doc="share of each source in the rows; they need not add up to 1"
    )

    @chz.validate
    def _every_source_has_a_weight(self) -> None:
        if not self.sources or self.sources.keys() != self.weights.keys():
            raise ValueError(
                f"sources ({', '.join(self.sources)}) and weights ({', '.join(self.weights)}) must have the same names"
            )
        if min(self.weights.values()) <= 0:
            raise ValueError(
                f"weights must be more than 0, got {dict(self.weights)}: leave a source out instead"
            )

    def items(self, setup: SupervisedSetup) -> Items:
        items = {name: source.items(setup) for name, source in self.sources.items()}
        tests = [part.test for part in items.values() if part.test is not None]
        train = MixedRows({name: part.train for name, part in items.items()}, self.weights)
        return Items(train, ChainedTable(tests) if tests else None)


class ChainedTable:
    """The rows of several tables, one table after the other."""

    def __init__(self, tables: list[Table[Item]]) -> None:
        self.tables = tables
        self.ends = list(accumulate(len(table) for table in tables))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int, /) -> Item:
        number = next(number for number, end in enumerate(self.ends) if index < end)
        return self.tables[number][index - self.ends[number] + len(self.tables[number])]
