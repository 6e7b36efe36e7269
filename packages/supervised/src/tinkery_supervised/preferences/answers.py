"""The answers of preferences as conversations to learn from, as it is done before preferences are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import chz

from tinkery_supervised.batches import Items
from tinkery_supervised.conversations import render_example
from tinkery_supervised.dataset import ItemsBuilder, MappedTable
from tinkery_supervised.preferences.dataset import PreferencesBuilder
from tinkery_supervised.rows import Table, TableRows
from tinkery_supervised.types import BadRow, Item, SupervisedSetup

if TYPE_CHECKING:
    from tinkery_supervised.preferences.pairs import Preference

Which: TypeAlias = Literal["chosen", "both"]


@chz.chz
class PreferenceAnswersBuilder(ItemsBuilder):
    """Supervised training on the answers of a set of preferences: on the chosen ones, or on both of each pair."""

    preferences: PreferencesBuilder = chz.field(doc="where the pairs come from")
    answers: Which = chz.field(
        default="chosen", doc="chosen, or both, for a model that is to know the answers it will prefer from"
    )

    def items(self, setup: SupervisedSetup) -> Items:
        chat = setup.model.load_chat()

        def to_item(row: tuple[Preference | BadRow, bool]) -> Item:
            preference, is_chosen = row
            if isinstance(preference, BadRow):
                return preference
            answered = preference.chosen if is_chosen else preference.rejected
            return render_example(answered, chat, setup.max_length)

        def items_of(table: Table[Preference | BadRow]) -> Table[Item]:
            return MappedTable(to_item, Sides(table, both=self.answers == "both"))

        tables = self.preferences(setup.on_bad_row)
        return Items(
            TableRows(items_of(tables.train)), None if tables.test is None else items_of(tables.test)
        )


class Sides:
    """Each preference with its chosen side, or each once with its chosen and once with its other side."""

    def __init__(self, table: Table[Preference | BadRow], *, both: bool) -> None:
        self.table = table
        self.num_sides = 2 if both else 1

    def __len__(self) -> int:
        return self.num_sides * len(self.table)

    def __getitem__(self, index: int, /) -> tuple[Preference | BadRow, bool]:
        row, side = divmod(index, self.num_sides)
        return self.table[row], side == 0
