"""docs/known-mistakes.md names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.findall(r"`(tests/[^`]+)::(\w+)`", (ROOT / "docs" / "known-mistakes.md").read_text())


def test_each_mistake_is_held_by_a_test() -> None:
    rows = (ROOT / "docs" / "known-mistakes.md").read_text().split("|---|---|\n")[1].splitlines()
    assert len(rows) == 18
    assert all(re.search(r"`tests/[^`]+::\w+`", row) for row in rows)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_exists(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
