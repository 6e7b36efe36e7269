"""`tinkery COMMAND`: explains the configs of scripts, and runs the commands that installed packages bring.

A package brings one by an entry point in the group `tinkery.commands`: its name is the command, its value a
function from the arguments after it to an exit status. The first line of the function's docstring is its help.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeAlias

from tinkery_core.config.suggest import did_you_mean
from tinkery_core.errors import UserError

if TYPE_CHECKING:
    from tinkery_core.launch import Script

COMMANDS = "tinkery.commands"
"""Entry point group of packages that bring a command."""

USAGE = 2
INTERRUPTED = 130

Command: TypeAlias = Callable[[Sequence[str]], int]


def main() -> None:
    """The console script `tinkery`. Exits with the command's status unless that is 0; 2 is for what was typed wrong."""
    try:
        status = run_command(sys.argv[1:])
    except UserError as error:
        print(error, file=sys.stderr)
        status = USAGE
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status:
        sys.exit(status)


def run_command(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name; its exit status. Raises UserError."""
    plug_ins = {entry.name: entry for entry in entry_points(group=COMMANDS)}
    names = ["explain", *sorted(plug_ins)]

    def load(name: str) -> Command:
        return plug_ins[name].load() if name in plug_ins else explain_command

    if not arguments or arguments[0] in ("-h", "--help"):
        _print_help({name: load(name) for name in names})
        return 0 if arguments else USAGE
    name, *rest = arguments
    if name not in names:
        raise UserError(
            f"tinkery has no command {name}.{did_you_mean(name, names)}\nInstalled: {', '.join(names)}"
        )
    return load(name)(rest)


def _print_help(commands: Mapping[str, Command]) -> None:
    print("usage: tinkery COMMAND …\n\ncommands:")
    for name, command in commands.items():
        first_line = (inspect.getdoc(command) or "").splitlines()[:1]
        print(f"  {name:<12} {''.join(first_line)}".rstrip())
    print("\n`tinkery COMMAND --help` says more.")


def explain_command(arguments: Sequence[str]) -> int:
    """Print every key of a script's config, and where its value comes from."""
    parser = argparse.ArgumentParser(prog="tinkery explain", description=explain_command.__doc__)
    parser.add_argument("script", help="a launch script, e.g. train-math")
    parser.add_argument("overrides", nargs="*", help="what you would type after the script")
    parser.add_argument("--config-dir", help="a folder with YAML of your own")
    options, rest = parser.parse_known_args(arguments)
    if unknown := [argument for argument in rest if argument.startswith("-")]:
        parser.error(f"unknown option {unknown[0]}")
    print_explanation(find_script(options.script), [*options.overrides, *rest], options.config_dir)
    return 0


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
