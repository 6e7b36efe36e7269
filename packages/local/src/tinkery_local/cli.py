"""`tinkery-local`: serve models, or bake the tiny one. Heavy imports come after the arguments are read."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tinkery_local.errors import UserError
from tinkery_local.options import LOG_LEVELS, ServeOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns 2 after a message when the user can put it right. `serve` ends the process itself."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["bake-tiny"]:
        from tinkery_local.tiny import bake

        return bake.main(arguments[1:])
    options = _parse(arguments)
    from tinkery_local import serving

    try:
        serving.run(options)
    except UserError as error:
        print(f"tinkery-local: {error}", file=sys.stderr)
        return 2


def default_store() -> Path:
    """Where checkpoints go unless the user says otherwise."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "tinkery" / "store"


def _parse(arguments: Sequence[str]) -> ServeOptions:
    parser = argparse.ArgumentParser(prog="tinkery-local", description="An embedded Tinker server.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="serve models to programs that use the tinker SDK",
        description="Serve models to programs that use the tinker SDK, until Ctrl-C.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    commands.add_parser("bake-tiny", help="make the bundled tiny model again", add_help=False)
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; only loopback ones are allowed"
    )
    serve.add_argument("--port", type=_port, default=8000, help="port to listen on; 0 takes a free one")
    serve.add_argument(
        "--model",
        action="append",
        metavar="NAME_OR_FOLDER",
        help="bundled model, Hugging Face folder or hub id; may be repeated (default: tinkery/tiny)",
    )
    serve.add_argument(
        "--store", type=Path, default=default_store(), metavar="DIR", help="where checkpoints are kept"
    )
    serve.add_argument(
        "--also-store",
        type=Path,
        action="append",
        metavar="DIR",
        help="a further folder with checkpoints, which are only read; may be repeated",
    )
    serve.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="how much to log on stderr")
    serve.add_argument("--announce", action="store_true", help="when ready, print one line of JSON on stdout")
    serve.add_argument(
        "--exit-with-stdin", action="store_true", help="stop when stdin ends or the parent process dies"
    )
    parsed = parser.parse_args(arguments)
    return ServeOptions(
        host=parsed.host,
        port=parsed.port,
        models=tuple(parsed.model or ()),
        store=parsed.store.expanduser().absolute(),
        also_stores=tuple(store.expanduser().absolute() for store in parsed.also_store or ()),
        log_level=parsed.log_level,
        announce=parsed.announce,
        exit_with_stdin=parsed.exit_with_stdin,
    )


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError(text)
    return port
