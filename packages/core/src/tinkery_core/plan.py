"""What `dry_run=true` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text


def print_plan(title: str, rows: Mapping[str, object], samples: Sequence[str] = ()) -> None:
    """A table of what would be done, and the first rendered prompts below it. Nothing was started."""
    console = Console(highlight=False)
    table = Table(title=f"Plan: {title}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for label, value in rows.items():
        table.add_row(Text(label), Text(str(value)))
    console.print(table)
    for number, sample in enumerate(samples, start=1):
        console.print(Panel(Text(sample), title=f"prompt {number}", title_align="left"))
    console.print("Nothing was started. Leave dry_run=true out to run this.")
