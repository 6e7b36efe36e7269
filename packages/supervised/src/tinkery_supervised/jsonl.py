"""Conversations from files of JSON lines, read row by row: a file may be larger than memory."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from pathlib import Path

import chz
from tinkery_core.errors import UserError

from tinkery_supervised.dataset import ConversationsBuilder, RawRow, Source
from tinkery_supervised.messages import Malformed
from tinkery_supervised.types import BadRow, SupervisedSetup

NUM_SHOWN = 3


class JsonlTable:
    """The lines of a file by number. Held in memory are only 16 bytes a line: where it begins, and its number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts, self._numbers = array("q"), array("q")
        position = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.isspace():
                    self._starts.append(position)
                    self._numbers.append(number)
                position += len(line)
        self._end = position

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int, /) -> RawRow:
        start = self._starts[index]
        end = self._starts[index + 1] if index + 1 < len(self._starts) else self._end
        with self.path.open("rb") as file:
            file.seek(start)
            return RawRow(f"{self.path} line {self._numbers[index]}", file.read(end - start))


def parse_line(line: object) -> object:
    """The object of a line of JSON. Raises Malformed."""
    assert isinstance(line, bytes)
    try:
        return json.loads(line.strip())
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg} at column {error.colno}") from None


def find_file(key: str, name: str) -> Path:
    """The file that a key of the config names. Raises UserError if there is none."""
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"{key}={name}: there is no such file. Expected a file of JSON lines.")
    return path


def refuse_bad_rows(bad_rows: Sequence[BadRow], num_rows: int) -> None:
    """Raise UserError if there are bad rows among the rows of a source, with the first few of them."""
    if bad_rows:
        shown = "".join(f"  {row}\n" for row in bad_rows[:NUM_SHOWN])
        more = f"  and {len(bad_rows) - NUM_SHOWN} more\n" if len(bad_rows) > NUM_SHOWN else ""
        raise UserError(
            f"{len(bad_rows)} of {num_rows} rows cannot be trained on:\n{shown}{more}"
            "Correct them, or type on_bad_row=skip to train on the others."
        )


@chz.chz
class JsonlConversations(ConversationsBuilder):
    """What sources of JSON lines share."""

    def to_conversation(self, value: object) -> object:
        return parse_line(value)

    def open(self, path: Path, setup: SupervisedSetup) -> JsonlTable:
        """The rows of a file. Raises UserError for bad rows, unless those are to be skipped."""
        table = JsonlTable(path)
        if setup.on_bad_row == "fail":
            self._check(table)
        return table

    def _check(self, table: JsonlTable) -> None:
        parsed = (self.parse(table[index]) for index in range(len(table)))
        refuse_bad_rows([row for row in parsed if isinstance(row, BadRow)], len(table))


@chz.chz
class JsonlBuilder(JsonlConversations):
    """Conversations in a file, one JSON object a line: `{"messages": [{"role": "user", "content": "…"}, …]}`."""

    path: str = chz.field(doc="file of JSON lines with messages, as OpenAI's fine-tuning takes them")
    test_path: str | None = chz.field(default=None, doc="another such file to test on; null is none")

    @chz.validate
    def _one_test_set(self) -> None:
        if self.test_path is not None and self.num_test:
            raise ValueError(f"test_path={self.test_path} and num_test={self.num_test}: set one of them")

    def load(self, setup: SupervisedSetup) -> Source:
        """With `on_bad_row=fail` all rows are checked before anything is trained."""
        test = None if self.test_path is None else self.open(find_file("test_path", self.test_path), setup)
        return self.divide(self.open(find_file("path", self.path), setup), self.path, test)
