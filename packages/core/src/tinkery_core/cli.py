"""`tinkery explain SCRIPT [OVERRIDES]`: every key of a script's config, and where its value comes from."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from tinkery_core.config.suggest import did_you_mean
from tinkery_core.errors import UserError

if TYPE_CHECKING:
    from tinkery_core.launch import Script


def main() -> None:
    parser = argparse.ArgumentParser(prog="tinkery", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    explain = commands.add_parser("explain", help="print every key of a config and its source")
    explain.add_argument("script", help="a launch script, e.g. train-math")
    explain.add_argument("overrides", nargs="*", help="what you would type after the script")
    explain.add_argument("--config-dir", help="a folder with YAML of your own")
    options, rest = parser.parse_known_args()
    if unknown := [argument for argument in rest if argument.startswith("-")]:
        parser.error(f"unknown option {unknown[0]}")
    try:
        print_explanation(find_script(options.script), [*options.overrides, *rest], options.config_dir)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def find_script(name: str) -> Script:
    """The launch script of this console-script name. Raises UserError if there is none."""
    from tinkery_core.launch import Script

    others: list[str] = []
    for entry in entry_points(group="console_scripts"):
        if entry.name == name:
            script: object = entry.load()
            if isinstance(script, Script):
                return script
            raise UserError(f"{name} is not a tinkery script: it was not made by tinkery_core.launch.")
        others.append(entry.name)
    raise UserError(f"There is no installed script {name}.{did_you_mean(name, others)}")


def print_explanation(script: Script, overrides: list[str], config_dir: str | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from tinkery_core.config.compose import compose
    from tinkery_core.config.explain import explain
    from tinkery_core.config.loader import make_loader
    from tinkery_core.config.resolve import resolve
    from tinkery_core.config.sources import DEFAULT

    loader = make_loader(script.conf, config_dir)
    composed = compose(loader, script.config_name, script.name, overrides)
    config = resolve(script.config_class, composed)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 220)
    table = Table(box=SIMPLE_HEAD)
    for column in ("key", "value", "type", "doc", "source"):
        table.add_column(column, no_wrap=column in ("key", "source"), overflow="fold")
    for row in explain(config, composed.sources):
        cells = (row.key, row.value, row.type, row.doc, row.source)
        table.add_row(*map(Text, cells), style="dim" if row.source == DEFAULT else "")
    console.print(table)
