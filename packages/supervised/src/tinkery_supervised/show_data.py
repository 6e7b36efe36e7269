"""`tinkery show-data`: what a supervised script would train on, with the learned tokens marked."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text
    from tinkery_core.chat import Chat

    from tinkery_supervised.config import SupervisedConfig
    from tinkery_supervised.types import Batch, Example

NUM_SHOWN = 4
LEARNED, READ = "bold green", "dim"
OPENING, CLOSING = "⟦", "⟧"
"""Around what is learned, where there are no colours."""


def show_data(arguments: Sequence[str]) -> int:
    """Print examples of a supervised script's data, with the tokens that are learned in colour."""
    from rich.console import Console

    options, rest = _parser().parse_known_args(arguments)
    if unknown := [argument for argument in rest if argument.startswith("-")]:
        _parser().error(f"unknown option {unknown[0]}")
    config = _resolve(options.script, [*options.overrides, *rest], options.config_dir)
    batch = config.dataset(config.setup).train.get_batch(options.batch)
    console = Console(highlight=False, soft_wrap=True)
    chat = config.model.load_chat()
    for number, example in enumerate(batch.examples_D[: options.num]):
        console.print(f"example {number}: {example_summary(example)}", style="bold")
        console.print(marked(example, chat, in_colour=console.is_terminal), end="\n\n")
    console.print(batch_summary(options.batch, batch))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinkery show-data",
        description="Prints examples as a supervised script would train on them, the learned tokens in colour, or "
        f"between {OPENING} and {CLOSING} where the output is no terminal. Calls no service.",
    )
    parser.add_argument("script", help="a launch script, e.g. train-sft")
    parser.add_argument("overrides", nargs="*", help="what you would type after the script")
    parser.add_argument("--batch", type=int, default=0, help="which batch (default %(default)s)")
    parser.add_argument(
        "--num", type=int, default=NUM_SHOWN, help="how many of its examples (default %(default)s)"
    )
    parser.add_argument("--config-dir", help="a folder with YAML of your own")
    return parser


def _resolve(name: str, overrides: list[str], config_dir: str | None) -> SupervisedConfig:
    from tinkery_core.cli import find_script
    from tinkery_core.config.compose import compose
    from tinkery_core.config.loader import make_loader
    from tinkery_core.config.resolve import resolve
    from tinkery_core.errors import UserError

    from tinkery_supervised.config import SupervisedConfig

    script = find_script(name)
    if not issubclass(script.config_class, SupervisedConfig):
        raise UserError(f"{name} trains on no conversations. Expected a supervised script, e.g. train-sft.")
    loader = make_loader(script.conf, config_dir)
    return resolve(script.config_class, compose(loader, script.config_name, script.name, overrides))


def example_summary(example: Example) -> str:
    """The numbers of one example."""
    cut = f", {example.num_cut} more cut off" if example.num_cut else ""
    return f"{len(example.tokens_T)} tokens, {example.num_targets} learned{cut}"


def batch_summary(index: int, batch: Batch) -> str:
    """The numbers of a batch, and what is wrong with the rows that were left out."""
    counts = {name.removeprefix("data/num_"): int(count) for name, count in batch.metrics().items()}
    lines = [
        f"batch {index}: {counts['examples']} examples, {counts['tokens']} tokens, {counts['targets']} learned; "
        f"{counts['cut_examples']} examples cut, {counts['idle_rows']} rows with nothing to learn, "
        f"{counts['bad_rows']} bad rows"
    ]
    return "\n".join([*lines, *(f"  {row}" for row in batch.bad_rows)])


def marked(example: Example, chat: Chat, *, in_colour: bool) -> Text:
    """The text of an example, special tokens included, with the learned runs of tokens marked."""
    from rich.text import Text

    text = Text()
    tokens = zip(example.tokens_T, example.weights_T > 0, strict=True)
    for learned, run in groupby(tokens, key=lambda pair: bool(pair[1])):
        words = chat.decode([token for token, _ in run])
        if learned and not in_colour:
            words = f"{OPENING}{words}{CLOSING}"
        text.append(words, style=LEARNED if learned else READ)
    return text
