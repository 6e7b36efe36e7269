"""Whether there is a service for a program that uses the SDK alone, with the address in the environment."""

from __future__ import annotations

import os
import socket
import sys
from typing import NoReturn
from urllib.parse import urlsplit


def check_service(program: str) -> None:
    """End with status 2 and a word on what to do if there is no service to train on."""
    url = os.environ.get("TINKER_BASE_URL")
    if not url and not os.environ.get("TINKER_API_KEY"):
        _fail(
            f"{program}: neither TINKER_BASE_URL nor TINKER_API_KEY is set, so there is no service to train on.\n"
            "Type `uv run tinkery-local serve` in another terminal, and here\n"
            "  export TINKER_BASE_URL=http://127.0.0.1:8000 TINKER_API_KEY=tml-local"
        )
    address = urlsplit(url or "")
    if address.hostname not in ("127.0.0.1", "localhost"):
        return  # perhaps behind a proxy, which only the SDK knows how to reach
    os.environ.setdefault("TINKER_API_KEY", "tml-local")  # any will do there
    os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")
    try:
        socket.create_connection((address.hostname, address.port or 80), timeout=5).close()
    except OSError as error:
        _fail(
            f"{program}: TINKER_BASE_URL={url}: nothing listens there ({error.strerror or error}).\n"
            "Type `uv run tinkery-local serve` in another terminal."
        )


def _fail(text: str) -> NoReturn:
    """A message in place of a traceback."""
    print(text, file=sys.stderr)
    sys.exit(2)
