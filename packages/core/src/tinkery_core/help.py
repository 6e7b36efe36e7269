"""`--help` of a script: what it does, what can be chosen, and which keys it has."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

from hydra.core.object_type import ObjectType
from hydra.types import RunMode
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tinkery_core.config.explain import explain_class

if TYPE_CHECKING:
    from tinkery_core.config.loader import LayeredLoader
    from tinkery_core.launch import Script

_FLAGS = {
    "-m, --multirun": "a run for each combination of comma-separated values: seed=1,2,3",
    "--cfg job": "print the composed YAML (--resolve: with interpolations resolved) and stop",
    "--info defaults-tree": "print which YAML files are composed, in which order, and stop",
    "--config-dir DIR": "look for your own YAML there too; a folder conf here is always looked at",
    "--config-name NAME": "another primary config",
    "--version": "print the version",
}


def print_help(script: Script, loader: LayeredLoader, config_name: str, program: str) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(Text(inspect.getdoc(script) or program), end="\n\n")
    console.print(Text(f"Usage: {program} [+experiment=NAME] [GROUP=OPTION …] [KEY=VALUE …]"), end="\n\n")
    chosen = _choices(loader, config_name)
    options = {group: loader.get_group_options(group) for group in _groups(loader)}
    _print_groups(console, options, chosen)
    _print_keys(console, script.config_class)
    _print_table(console, "Options", [[flag, text] for flag, text in _FLAGS.items()])
    _print_examples(console, program, options)


def _groups(loader: LayeredLoader, parent: str = "") -> list[str]:
    groups: list[str] = []
    for name in loader.list_groups(parent):
        group = f"{parent}/{name}" if parent else name
        if group == "hydra" or name.startswith("__"):
            continue
        if loader.get_group_options(group, ObjectType.CONFIG):
            groups.append(group)
        groups += _groups(loader, group)
    return sorted(groups)


def _choices(loader: LayeredLoader, config_name: str) -> dict[str, str]:
    defaults = loader.compute_defaults_list(config_name, [], RunMode.RUN)
    return {group: str(option) for group, option in defaults.overrides.known_choices.items()}


def _print_groups(console: Console, options: dict[str, list[str]], chosen: dict[str, str]) -> None:
    rows: list[list[str]] = []
    for group, names in options.items():
        shown = [f"{name} *" if chosen.get(group) == name else name for name in names]
        rows.append([group if group in chosen else f"+{group}", ", ".join(shown)])
    _print_table(console, "Config groups (* is the default; a group with + has none)", rows)


def _print_keys(console: Console, config_class: type) -> None:
    depth = 1  # deeper keys depend on the chosen options: `tinkery explain` shows those
    rows = [
        [row.key, row.value, f"{row.doc} ({row.type})"]
        for row in explain_class(config_class)
        if row.key.count(".") <= depth
    ]
    _print_table(console, "Keys and their defaults", rows)


def _print_table(console: Console, title: str, rows: list[list[str]]) -> None:
    console.print(Text(title, style="bold"))
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 1))
    table.add_column(no_wrap=True, style="cyan")
    for _ in rows[0][1:]:
        table.add_column()
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    console.print()


def _print_examples(console: Console, program: str, options: dict[str, list[str]]) -> None:
    experiment = next((f"+experiment={name}" for name in options.get("experiment", [])), "")
    start = f"{program} {experiment}".strip()
    name = program.rpartition(" ")[2]
    rows = [
        [start, "run it"],
        [f"{start} dry_run=true", "print the plan only"],
        [f"{start} run_dir=runs/mine", "the same again resumes it"],
        [f"{start} -m seed=1,2,3", "three runs"],
        [f"tinkery explain {name} {experiment}".strip(), "every value and where it comes from"],
    ]
    _print_table(console, "Examples", rows)
