"""Conversations from data sets of the Hugging Face hub, or from folders of the same form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from types import ModuleType
from typing import Protocol

import chz
from tinkery_core.config.checks import at_least
from tinkery_core.errors import UserError

from tinkery_supervised.dataset import ConversationsBuilder, RawRow, Source
from tinkery_supervised.messages import Malformed, is_mapping
from tinkery_supervised.rows import StreamRows
from tinkery_supervised.types import SupervisedSetup

HubRow = Mapping[str, object]


class HubTable(Protocol):
    """What is used of `datasets.Dataset`: rows on disk, reached by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> HubRow: ...


class HubStream(Protocol):
    """What is used of `datasets.IterableDataset`: rows that come over the network as they are read."""

    def skip(self, n: int) -> HubStream: ...

    def __iter__(self) -> Iterator[HubRow]: ...


@chz.chz
class RowMapping(ABC):
    """From a row of a data set to `{"messages": […]}`. Write your own for other columns."""

    @abstractmethod
    def __call__(self, row: HubRow) -> object:
        """Raises Malformed for a row that is no conversation."""


@chz.chz
class MessagesColumn(RowMapping):
    """A column holds the messages."""

    column: str = chz.field(
        default="messages", doc="column with a list of messages, each with role and content"
    )

    def __call__(self, row: HubRow) -> object:
        return {"messages": cell(row, self.column)}


@chz.chz
class PromptAndAnswer(RowMapping):
    """One column holds a question, another its answer."""

    prompt: str = chz.field(default="prompt", doc="column with what the user says")
    answer: str = chz.field(default="answer", doc="column with what the assistant answers")
    system: str | None = chz.field(default=None, doc="system message of every conversation; null is none")

    def __call__(self, row: HubRow) -> object:
        turns = [
            {"role": "user", "content": cell(row, self.prompt)},
            {"role": "assistant", "content": cell(row, self.answer)},
        ]
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return {"messages": system + turns}


def cell(row: HubRow, column: str) -> object:
    """What a row has in a column. Raises Malformed if there is no such column."""
    if column not in row:
        raise Malformed(f"there is no column {column}; the columns are {', '.join(row)}")
    return row[column]


@chz.chz
class HubBuilder(ConversationsBuilder):
    """A data set by its name in the hub, or a folder with files of one; needs the package `datasets`."""

    name: str = chz.field(doc="name in the hub, e.g. HuggingFaceH4/no_robots, or a folder")
    config: str | None = chz.field(
        default=None, doc="which of the data set's configurations; null is its default"
    )
    split: str = chz.field(default="train", doc="split to train on")
    test_split: str | None = chz.field(default=None, doc="split to test on; null is none")
    rows: RowMapping = chz.field(default_factory=MessagesColumn, doc="from a row to messages")
    stream: bool = chz.field(
        default=False, doc="read rows over the network as they are needed, for sets larger than the disk"
    )
    shuffle_window: int = chz.field(
        default=10_000, validator=at_least(1), doc="rows that are shuffled among each other in a stream"
    )

    @chz.validate
    def _one_test_set(self) -> None:
        if self.test_split is not None and self.num_test:
            raise ValueError(f"test_split={self.test_split} and num_test={self.num_test}: set one of them")

    def load(self, setup: SupervisedSetup) -> Source:
        del setup
        if self.stream:
            return self._load_stream()
        test = None if self.test_split is None else HubRows(self._open(self.test_split), self.name)
        return self.divide(HubRows(self._open(self.split), self.name), self.name, test)

    def to_conversation(self, value: object) -> object:
        assert is_mapping(value)
        return self.rows(value)

    def _load_stream(self) -> Source:
        """A stream's test set is its first rows, or all of another split, and is held in memory."""

        def open_at(start: int) -> Iterator[RawRow]:
            return self._read(self.split, self.num_test + start)

        test = None
        if self.test_split is not None:
            test = list(self._read(self.test_split, 0))
        elif self.num_test:
            test = list(islice(self._read(self.split, 0), self.num_test))
        return Source(StreamRows(open_at, self.shuffle_window), test)

    def _read(self, split: str, start: int) -> Iterator[RawRow]:
        with _explained(self.name, self.config, split):
            load: Callable[..., HubStream] = _datasets().load_dataset
            rows = load(self.name, self.config, split=split, streaming=True).skip(start)
            for number, row in enumerate(rows, start=start):
                yield RawRow(f"{self.name} row {number}", row)

    def _open(self, split: str) -> HubTable:
        return open_split(self.name, self.config, split)


def open_split(name: str, config: str | None, split: str) -> HubTable:
    """A split of a data set. Raises UserError if it cannot be read."""
    with _explained(name, config, split):
        load: Callable[..., HubTable] = _datasets().load_dataset
        return load(name, config, split=split)


@contextmanager
def _explained(name: str, config: str | None, split: str) -> Generator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        in_config = "" if config is None else f" ({config})"
        raise UserError(
            f"The data set {name}{in_config}, split {split}, cannot be read.\n"
            f"  datasets says: {str(error).splitlines()[0]}\n"
            "Expected a name in the Hugging Face hub, which needs a network the first time, or a folder with files "
            "of JSON lines, CSV or Parquet."
        ) from error


class HubRows:
    """The rows of a table, each with its place."""

    def __init__(self, table: HubTable, name: str) -> None:
        self.table = table
        self.name = name

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int, /) -> RawRow:
        return RawRow(f"{self.name} row {index}", self.table[index])


def _datasets() -> ModuleType:
    try:
        return import_module("datasets")
    except ImportError:
        raise UserError(
            "Data sets of the Hugging Face hub need the package datasets, which is not installed.\n"
            "Type: uv add 'tinkery-supervised[datasets]'"
        ) from None
