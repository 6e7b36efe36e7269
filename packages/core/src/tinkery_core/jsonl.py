"""JSON lines on disk: whole lines or nothing, also after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeGuard

Record = dict[str, object]


def append_lines(path: Path, lines: list[str], *, durable: bool = False) -> None:
    """Append lines by a single write; with `durable`, wait until they are on disk. Raises OSError on a full disk."""
    data = "".join(line + "\n" for line in lines).encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        if durable:
            os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # os.write does not know the name
    finally:
        os.close(descriptor)


def read_lines(path: Path) -> Generator[Record]:
    """The objects of the file in order. A last line that a kill left half-written is skipped."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                return
            record: object = json.loads(raw)
            if not is_record(record):
                raise ValueError(f"{path}: expected one JSON object a line, got {raw[:80]!r}")
            yield record


def is_record(value: object) -> TypeGuard[Record]:
    """A JSON object, whose keys are strings by construction."""
    return isinstance(value, dict)


def keep_lines(path: Path, keep: Callable[[Record], bool]) -> None:
    """Rewrite the file with the lines that `keep` accepts, atomically; a half-written last line goes too."""
    if not path.exists():
        return
    partial = _partial(path)
    with partial.open("w", encoding="utf-8") as file:
        for record in read_lines(path):
            if keep(record):
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        _sync(file.fileno(), file.flush)
    partial.replace(path)


def write_atomically(path: Path, text: str) -> None:
    """Write the whole file or leave the old one as it is."""
    partial = _partial(path)
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        _sync(file.fileno(), file.flush)
    partial.replace(path)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _sync(descriptor: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(descriptor)
