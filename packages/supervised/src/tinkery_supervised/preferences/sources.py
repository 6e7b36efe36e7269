"""Preferences from files of JSON lines, and from data sets of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable

import chz
from tinkery_core.config.checks import at_least
from tinkery_core.errors import UserError

from tinkery_supervised.dataset import MappedTable, RawRow
from tinkery_supervised.hub import HubRows, cell, open_split
from tinkery_supervised.jsonl import JsonlTable, find_file, parse_line, refuse_bad_rows
from tinkery_supervised.messages import Malformed, is_mapping
from tinkery_supervised.preferences.dataset import Preferences, PreferencesBuilder
from tinkery_supervised.preferences.pairs import Preference, parse_preference
from tinkery_supervised.rows import Table, hold_out
from tinkery_supervised.types import BadRow, OnBadRow


def _parsed(table: Table[RawRow], to_row: Callable[[object], object]) -> Table[Preference | BadRow]:
    def parse(raw: RawRow) -> Preference | BadRow:
        try:
            return parse_preference(to_row(raw.value), raw.where)
        except Malformed as error:
            return BadRow(raw.where, str(error))

    return MappedTable(parse, table)


def divide(table: Table[Preference | BadRow], num_test: int, name: str) -> Preferences:
    """Hold out `num_test` rows, the same ones for each seed. Raises UserError if none is left to train on."""
    if len(table) <= num_test:
        raise UserError(
            f"{name} has {len(table)} rows, and num_test={num_test} leaves none of them to train on."
        )
    if not num_test:
        return Preferences(table, None)
    return Preferences(*hold_out(table, num_test))


def read_preferences(path: str, key: str, on_bad_row: OnBadRow) -> Table[Preference | BadRow]:
    """The rows of a file. Raises UserError if there is none, or for bad rows, unless those are to be skipped."""
    table = JsonlTable(find_file(key, path))
    rows = _parsed(table, parse_line)
    if on_bad_row == "fail":
        refuse_bad_rows([row for i in range(len(rows)) if isinstance(row := rows[i], BadRow)], len(rows))
    return rows


@chz.chz
class JsonlPreferences(PreferencesBuilder):
    """Preferences in a file, one JSON object a line: `{"prompt": …, "chosen": …, "rejected": …}`."""

    path: str = chz.field(doc="file of JSON lines with prompt, chosen and rejected: texts or messages")
    test_path: str | None = chz.field(default=None, doc="another such file to test on; null is none")
    num_test: int = chz.field(
        default=0,
        validator=at_least(0),
        doc="pairs held out from training for the test; the same for each seed",
    )

    @chz.validate
    def _one_test_set(self) -> None:
        if self.test_path is not None and self.num_test:
            raise ValueError(f"test_path={self.test_path} and num_test={self.num_test}: set one of them")

    def __call__(self, on_bad_row: OnBadRow) -> Preferences:
        table = read_preferences(self.path, "path", on_bad_row)
        if self.test_path is None:
            return divide(table, self.num_test, self.path)
        return Preferences(table, read_preferences(self.test_path, "test_path", on_bad_row))


@chz.chz
class HubPreferences(PreferencesBuilder):
    """A data set by its name in the hub, or a folder with files of one; needs the package `datasets`."""

    name: str = chz.field(doc="name in the hub, e.g. HuggingFaceH4/ultrafeedback_binarized, or a folder")
    config: str | None = chz.field(
        default=None, doc="which of the data set's configurations; null is its default"
    )
    split: str = chz.field(default="train", doc="split to train on")
    test_split: str | None = chz.field(default=None, doc="split to test on; null is none")
    num_test: int = chz.field(
        default=0,
        validator=at_least(0),
        doc="pairs held out from training for the test; the same for each seed",
    )
    prompt: str = chz.field(
        default="prompt",
        doc="column with the prompt: a text or messages; not needed if the answers are conversations",
    )
    chosen: str = chz.field(default="chosen", doc="column with the better answer: a text or messages")
    rejected: str = chz.field(default="rejected", doc="column with the other answer: a text or messages")

    @chz.validate
    def _one_test_set(self) -> None:
        if self.test_split is not None and self.num_test:
            raise ValueError(f"test_split={self.test_split} and num_test={self.num_test}: set one of them")

    def __call__(self, on_bad_row: OnBadRow) -> Preferences:
        del on_bad_row  # rows are checked as they are read: there may be millions
        table = self._open(self.split)
        if self.test_split is None:
            return divide(table, self.num_test, self.name)
        return Preferences(table, self._open(self.test_split))

    def _open(self, split: str) -> Table[Preference | BadRow]:
        return _parsed(HubRows(open_split(self.name, self.config, split), self.name), self._to_row)

    def _to_row(self, value: object) -> object:
        assert is_mapping(value)
        row = {"chosen": cell(value, self.chosen), "rejected": cell(value, self.rejected)}
        return {**row, "prompt": value[self.prompt]} if self.prompt in value else row
