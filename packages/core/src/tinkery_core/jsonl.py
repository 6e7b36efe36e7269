"""JSON lines on disk: whole lines or nothing, also after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeGuard


def append_line(path: Path, line: str, *, durable: bool = False) -> None:
    """Append one line by a single write; with `durable`, wait until it is on disk. Raises OSError on a full disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        _write_all(descriptor, line.encode() + b"\n")
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def read_lines(path: Path) -> Iterator[dict[str, object]]:
    """The objects of the file in order. A last line that a kill left half-written is skipped."""
    if not path.exists():
        return
    for raw in path.read_bytes().splitlines(keepends=True):
        if not raw.endswith(b"\n"):
            return
        record: object = json.loads(raw)
        if not _is_record(record):
            raise ValueError(f"{path}: expected one JSON object a line, got {raw[:80]!r}")
        yield record


def _is_record(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def keep_lines(path: Path, keep: Callable[[dict[str, object]], bool]) -> None:
    """Rewrite the file with the lines that `keep` accepts, atomically; a half-written last line goes too."""
    if not path.exists():
        return
    kept = [json.dumps(record, ensure_ascii=False) for record in read_lines(path) if keep(record)]
    write_atomically(path, "".join(line + "\n" for line in kept))


def write_atomically(path: Path, text: str) -> None:
    """Write the whole file or leave the old one as it is."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
