"""Conversations from files of JSON lines, read row by row: a file may be larger than memory."""

from __future__ import annotations

import json
from array import array
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


@chz.chz
class JsonlConversations(ConversationsBuilder):
    """What sources of JSON lines share."""

    def to_conversation(self, value: object) -> object:
        assert isinstance(value, bytes)
        try:
            return json.loads(value)
        except UnicodeDecodeError as error:
            raise Malformed(f"not UTF-8: {error.reason} at byte {error.start}") from None
        except json.JSONDecodeError as error:
            raise Malformed(f"not JSON: {error.msg} at column {error.colno}") from None

    def open(self, path: Path, setup: SupervisedSetup) -> JsonlTable:
        """The rows of a file. Raises UserError for bad rows, unless those are to be skipped."""
        table = JsonlTable(path)
        if setup.on_bad_row == "fail":
            self._check(table)
        return table

    def _check(self, table: JsonlTable) -> None:
        parsed = (self.parse(table[index]) for index in range(len(table)))
        bad = [row for row in parsed if isinstance(row, BadRow)]
        if bad:
            shown = "".join(f"  {row}\n" for row in bad[:NUM_SHOWN])
            more = f"  and {len(bad) - NUM_SHOWN} more\n" if len(bad) > NUM_SHOWN else ""
            raise UserError(
                f"{len(bad)} of {len(table)} rows cannot be trained on:\n{shown}{more}"
                "Correct them, or type on_bad_row=skip to train on the others."
            )


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
        test = None if self.test_path is None else self.open(self._found("test_path", self.test_path), setup)
        return self.divide(self.open(self._found("path", self.path), setup), self.path, test)

    def _found(self, key: str, name: str) -> Path:
        path = Path(name).expanduser()
        if not path.is_file():
            raise UserError(f"{key}={name}: there is no such file. Expected a file of JSON lines.")
        return path
