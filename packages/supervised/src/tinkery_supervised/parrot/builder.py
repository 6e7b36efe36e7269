"""The bundled conversations as a data set."""

from __future__ import annotations

from pathlib import Path

import chz
from tinkery_core.config.checks import at_least

from tinkery_supervised.dataset import Source
from tinkery_supervised.jsonl import JsonlConversations
from tinkery_supervised.types import SupervisedSetup

PATH = Path(__file__).with_name("conversations.jsonl")


@chz.chz
class ParrotBuilder(JsonlConversations):
    """1,000 conversations with a parrot: needs no file and no network."""

    num_test: int = chz.field(
        default=100,
        validator=at_least(0),
        doc="rows held out from training for the test; the same for each seed",
    )

    def load(self, setup: SupervisedSetup) -> Source:
        return self.divide(self.open(PATH, setup), "The parrot", None)
