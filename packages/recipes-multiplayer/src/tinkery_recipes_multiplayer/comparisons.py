"""Preferences as questions with one letter for an answer, to train the model that judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import chz
from tinkery_rl.envs.model_judges import TEMPLATE, comparison
from tinkery_supervised.batches import Items
from tinkery_supervised.conversations import Conversation, render_example
from tinkery_supervised.dataset import ItemsBuilder, MappedTable
from tinkery_supervised.preferences.answers import Sides
from tinkery_supervised.preferences.dataset import PreferencesBuilder
from tinkery_supervised.rows import Table, TableRows
from tinkery_supervised.types import BadRow, Item, SupervisedSetup

if TYPE_CHECKING:
    import renderers
    from tinkery_supervised.preferences.pairs import Preference


@chz.chz
class ComparisonsBuilder(ItemsBuilder):
    """Supervised training of a preference model: which of two answers is better, A or B? Each pair in both orders."""

    preferences: PreferencesBuilder = chz.field(doc="where the pairs come from")
    template: str = chz.field(
        default=TEMPLATE,
        doc="the question, with {conversation}, {first} and {second} where these go; the judge has to ask the same",
    )

    def items(self, setup: SupervisedSetup) -> Items:
        chat = setup.model.load_chat()

        def to_item(row: tuple[Preference | BadRow, bool]) -> Item:
            preference, chosen_first = row
            if isinstance(preference, BadRow):
                return preference
            return render_example(self.question(preference, chosen_first), chat, setup.max_length)

        def items_of(table: Table[Preference | BadRow]) -> Table[Item]:
            return MappedTable(to_item, Sides(table, both=True))

        tables = self.preferences(setup.on_bad_row)
        return Items(
            TableRows(items_of(tables.train)), None if tables.test is None else items_of(tables.test)
        )

    def question(self, preference: Preference, chosen_first: bool) -> Conversation:
        """The comparison as a conversation, of which the verdict is learned."""
        chosen, rejected = preference.answers
        first, second = (chosen, rejected) if chosen_first else (rejected, chosen)
        asked = comparison(self.template, preference.prompt, first, second)
        messages: list[renderers.Message] = [{"role": m["role"], "content": m["content"]} for m in asked]
        messages.append({"role": "assistant", "content": "A" if chosen_first else "B"})
        return Conversation(messages, [False] * len(asked) + [True], preference.where)
