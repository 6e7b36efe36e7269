"""The bundled pairs as a data set."""

from __future__ import annotations

from pathlib import Path

import chz
from tinkery_core.config.checks import at_least

from tinkery_supervised.preferences.dataset import Preferences, PreferencesBuilder
from tinkery_supervised.preferences.sources import divide, read_preferences
from tinkery_supervised.types import OnBadRow

PATH = Path(__file__).with_name("pairs.jsonl")


@chz.chz
class MannersBuilder(PreferencesBuilder):
    """1,000 pairs of answers, of which the kinder one, or the right one, is preferred: needs no file and no network."""

    num_test: int = chz.field(
        default=100,
        validator=at_least(0),
        doc="pairs held out from training for the test; the same for each seed",
    )

    def __call__(self, on_bad_row: OnBadRow) -> Preferences:
        return divide(read_preferences(str(PATH), "path", on_bad_row), self.num_test, "The manners")
