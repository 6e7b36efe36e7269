"""checkpoints.jsonl: which weights a run can continue from, and which rolling ones are to be deleted."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from tinkery_core.config.values import is_list
from tinkery_core.jsonl import append_lines, read_lines, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

CheckpointKind = Literal["periodic", "rolling", "final"]
"""Periodic ones and the final one stay. A rolling one stays until it has a successor of any kind."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights that a run can continue from.

    `step` is the number of batches applied, so the next batch to train on has index `step`. `state_path` holds weights
    and optimizer, `sampler_path` weights to sample from. `superseded` holds the paths of rolling checkpoints before
    this one, as long as they are not known to be deleted.
    """

    step: int
    kind: CheckpointKind
    state_path: str
    sampler_path: str
    superseded: tuple[str, ...] = ()


class CheckpointLog:
    """The records in order, each appended when both saves of its checkpoint are complete."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> list[Checkpoint]:
        return [_parse(line) for line in read_lines(self.path)]

    def last(self) -> Checkpoint | None:
        records = self.records()
        return records[-1] if records else None

    def append(self, checkpoint: Checkpoint) -> None:
        append_lines(self.path, [_line(checkpoint)], durable=True)

    def supersede(self) -> Sequence[str]:
        """Take rolling checkpoints that have a successor off the record; the paths that are to be deleted.

        The same write notes the paths in the last record, where they stay until `forget`.
        """
        records = self.records()
        if not records:
            return ()
        *before, last = records
        old = [record for record in before if record.kind == "rolling"]
        paths = [path for record in records for path in record.superseded]
        paths += [path for record in old for path in (record.state_path, record.sampler_path)]
        if tuple(paths) != last.superseded:
            kept = [replace(record, superseded=()) for record in before if record.kind != "rolling"]
            self._write([*kept, replace(last, superseded=tuple(paths))])
        return paths

    def forget(self, deleted: Collection[str]) -> None:
        """These paths have been deleted."""
        self._write(
            replace(record, superseded=tuple(path for path in record.superseded if path not in deleted))
            for record in self.records()
        )

    def _write(self, records: Iterable[Checkpoint]) -> None:
        write_atomically(self.path, "".join(_line(record) + "\n" for record in records))


def _line(checkpoint: Checkpoint) -> str:
    values = asdict(checkpoint)
    if not checkpoint.superseded:
        del values["superseded"]
    return json.dumps(values)


def _parse(line: dict[str, object]) -> Checkpoint:
    kinds: tuple[CheckpointKind, ...] = get_args(CheckpointKind)
    superseded = line.get("superseded")
    return Checkpoint(
        step=int(str(line["step"])),
        kind=kinds[kinds.index(line["kind"])],
        state_path=str(line["state_path"]),
        sampler_path=str(line["sampler_path"]),
        superseded=tuple(map(str, superseded)) if is_list(superseded) else (),
    )
