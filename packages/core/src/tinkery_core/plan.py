"""What `dry_run=true` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def print_plan(title: str, rows: Mapping[str, object], samples: Sequence[str] = ()) -> None:
    """A table of what would be done, and the first rendered prompts below it."""
