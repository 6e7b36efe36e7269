"""What all sources of conversations share: from raw rows to examples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import chz
from tinkery_core.config.checks import at_least
from tinkery_core.errors import UserError

from tinkery_supervised.batches import Items, make_datasets
from tinkery_supervised.conversations import TrainOn, parse_conversation, render_example
from tinkery_supervised.messages import Malformed
from tinkery_supervised.rows import MappedRows, Rows, Table, TableRows, hold_out
from tinkery_supervised.types import (
    BadRow,
    Item,
    SupervisedDatasetBuilder,
    SupervisedDatasets,
    SupervisedSetup,
)

if TYPE_CHECKING:
    from tinkery_supervised.conversations import Conversation


@dataclass(frozen=True)
class RawRow:
    """A row as its source has it, and its place there."""

    where: str
    value: object


@dataclass(frozen=True)
class Source:
    """The raw rows of a source: to train on, and held out."""

    train: Rows[RawRow]
    test: Table[RawRow] | None


@chz.chz
class ItemsBuilder(SupervisedDatasetBuilder):
    """A source of examples that can be mixed with others."""

    @abstractmethod
    def items(self, setup: SupervisedSetup) -> Items:
        """The examples of the source."""

    def __call__(self, setup: SupervisedSetup) -> SupervisedDatasets:
        return make_datasets(self.items(setup), setup)


@chz.chz
class ConversationsBuilder(ItemsBuilder):
    """A source of conversations."""

    train_on: TrainOn = chz.field(
        default="all_assistants",
        doc="the messages to learn: the assistant's last, all of its, or those whose `weight` is not 0",
    )
    num_test: int = chz.field(
        default=0,
        validator=at_least(0),
        doc="rows held out from training for the test; the same for each seed",
    )

    @abstractmethod
    def load(self, setup: SupervisedSetup) -> Source:
        """Open the source. Raises UserError if it cannot be opened."""

    @abstractmethod
    def to_conversation(self, value: object) -> object:
        """What `parse_conversation` reads, from a raw row's value. Raises Malformed."""

    def items(self, setup: SupervisedSetup) -> Items:
        chat = setup.model.load_chat()

        def to_item(raw: RawRow) -> Item:
            conversation = self.parse(raw)
            if isinstance(conversation, BadRow):
                return conversation
            return render_example(conversation, chat, setup.max_length)

        source = self.load(setup)
        test = None if source.test is None else MappedTable(to_item, source.test)
        return Items(MappedRows(to_item, source.train), test)

    def parse(self, raw: RawRow) -> Conversation | BadRow:
        """The conversation of a row, or what is wrong with it."""
        try:
            return parse_conversation(self.to_conversation(raw.value), raw.where, self.train_on)
        except Malformed as error:
            return BadRow(raw.where, str(error))

    def divide(self, table: Table[RawRow], name: str, test: Table[RawRow] | None = None) -> Source:
        """A table with a test set of its own, or with `num_test` of its rows held out."""
        if len(table) <= self.num_test:
            raise UserError(
                f"{name} has {len(table)} rows, and num_test={self.num_test} leaves none of them to train on."
            )
        if not self.num_test:
            return Source(TableRows(table), test)
        train, held_out = hold_out(table, self.num_test)
        return Source(TableRows(train), held_out)


RawT = TypeVar("RawT")
MadeT = TypeVar("MadeT")


class MappedTable(Generic[RawT, MadeT]):
    """What a function makes of each row of a table, when it is asked for."""

    def __init__(self, function: Callable[[RawT], MadeT], table: Table[RawT]) -> None:
        self.function = function
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int, /) -> MadeT:
        return self.function(self.table[index])
