"""Checkpoints on disk: `tinker://<run>/<kind>/<name>` is the folder `<store>/<run>/<kind>/<name>`.

A checkpoint is written into a hidden folder and moved to its place when it is complete and on the disk, so a
reader, or a server restarted after a crash, finds all of it or nothing.
"""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tinkery_local.checkpoint import CheckpointRecord
from tinkery_local.errors import RequestError, UserError

KINDS = ("weights", "sampler_weights")
RECORD = "checkpoint.json"

_NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,150}")
_HIDDEN = re.compile(r"\.(?P<role>partial|replaced)-(?P<pid>\d+)-[0-9a-f]{32}-(?P<name>.+)")


@dataclass(frozen=True)
class TinkerPath:
    """`tinker://<run>/<kind>/<name>`; its parts never leave the store's folder."""

    run: str
    kind: str
    name: str

    def __post_init__(self) -> None:
        check_name("run", self.run)
        check_name("checkpoint name", self.name)
        if self.kind not in KINDS:
            raise RequestError(400, f"a checkpoint's kind is one of {', '.join(KINDS)}, not {self.kind!r}")

    @classmethod
    def parse(cls, text: str) -> "TinkerPath":
        """Read `tinker://…`; RequestError 400 when it has another form."""
        parts = text.removeprefix("tinker://").split("/")
        if not text.startswith("tinker://") or len(parts) != 3:
            raise RequestError(400, f"{text!r} is not of the form tinker://<run>/<{'|'.join(KINDS)}>/<name>")
        return cls(*parts)

    @property
    def checkpoint_id(self) -> str:
        return f"{self.kind}/{self.name}"

    def __str__(self) -> str:
        return f"tinker://{self.run}/{self.kind}/{self.name}"


def check_name(what: str, name: str) -> None:
    """Refuse a name that would not be one plain folder; RequestError 400."""
    if not _NAME.fullmatch(name) or name.startswith(".") or len(name.encode()) > 150:
        raise RequestError(
            400,
            f"{what} {name!r}: expected 1 to 150 bytes without '/', '\\' and controls, not starting with '.'",
        )


class Store:
    """The checkpoints under one folder, which several servers may share, and those of other stores, to read only."""

    def __init__(self, root: Path, others: Sequence[Path] = ()) -> None:
        self.root = root
        self.others = others

    def folder(self, path: TinkerPath) -> Path:
        """Where a checkpoint is written; RequestError 403 if it is one that another store keeps."""
        place = self._place(self.root, path)
        if self.find(path) != place:
            raise RequestError(403, f"{path} is kept in another store, which this server only reads")
        return place

    def find(self, path: TinkerPath) -> Path:
        """Where a checkpoint is read: here, or in another store if only that has it."""
        places = [self._place(root, path) for root in (self.root, *self.others)]
        return next((place for place in places if place.exists()), places[0])

    @staticmethod
    def _place(root: Path, path: TinkerPath) -> Path:
        return root / path.run / path.kind / path.name

    def scratch_folder(self) -> Path:
        """Where this process may keep what ends with it."""
        return self.root / f".scratch-{os.getpid()}"

    def remove_scratch(self) -> None:
        shutil.rmtree(self.scratch_folder(), ignore_errors=True)

    def open(self) -> None:
        """Make the folder, and clear up after servers that died at work; what they were replacing comes back.

        Raises UserError if there can be no such folder, or if one of the other stores does not exist.
        """
        for other in self.others:
            if not other.is_dir():
                raise UserError(f"--also-store {other}: there is no such folder.")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--store {self.root}: can't be a folder ({error.strerror}); choose another."
            ) from None
        for scratch in self.root.glob(".scratch-*"):
            pid = scratch.name.removeprefix(".scratch-")
            if pid.isdigit() and not _is_alive(int(pid)):
                shutil.rmtree(scratch, ignore_errors=True)
        for hidden in self.root.glob("*/*/.*"):
            match = _HIDDEN.fullmatch(hidden.name)
            if match is None or _is_alive(int(match["pid"])):
                continue
            place = hidden.with_name(match["name"])
            if match["role"] == "replaced" and not place.exists():
                hidden.rename(place)
            else:
                shutil.rmtree(hidden, ignore_errors=True)

    @contextlib.contextmanager
    def writing(self, path: TinkerPath, record: CheckpointRecord, overwrite: bool = False) -> Generator[Path]:
        """Make a checkpoint: the caller creates the folder that it is given and fills it.

        Raises RequestError 409 if the name is taken and `overwrite` is off, OSError if the disk refuses. After
        these, and after whatever the caller raises, the store is as it was before.
        """
        place = self.folder(path)
        if place.exists() and not overwrite:
            raise RequestError(409, f"{path} exists already; choose another name or pass overwrite=True")
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = _hidden("partial", place)
        try:
            yield partial
            (partial / RECORD).write_text(record.to_json(), encoding="utf-8")
            for file in (*partial.iterdir(), partial):
                _sync(file)
            self._move_into_place(partial, place)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def read(self, path: TinkerPath) -> CheckpointRecord:
        """What is known of a checkpoint; RequestError 404 if there is none of that name (any more)."""
        place = self.find(path)
        try:
            record = CheckpointRecord.from_json((place / RECORD).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise RequestError(404, f"there is no checkpoint {path} in the store {self.root}") from None
        except RequestError as error:
            raise RequestError(400, f"the checkpoint {path} is damaged: {error}") from None
        if record.expires_at is not None and record.expires_at < datetime.now(UTC):
            if place.is_relative_to(self.root):
                self.delete(path)
            raise RequestError(404, f"the checkpoint {path} has expired")
        return record

    def delete(self, path: TinkerPath) -> None:
        """Remove a checkpoint; RequestError 404 if there is none of that name."""
        removed = _hidden("partial", self.folder(path))
        try:
            self.folder(path).rename(removed)
        except (FileNotFoundError, NotADirectoryError):
            raise RequestError(404, f"there is no checkpoint {path} in the store {self.root}") from None
        shutil.rmtree(removed)

    def publish(self, path: TinkerPath, public: bool) -> None:
        """Set the public flag of a checkpoint."""
        self._rewrite(path, replace(self.read(path), public=public))

    def expire_in(self, path: TinkerPath, seconds: int | None) -> None:
        """Let a checkpoint expire some seconds from now, or never."""
        self._rewrite(path, replace(self.read(path), expires_at=expiry(seconds)))

    def size(self, path: TinkerPath) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder(path).iterdir())

    def runs(self) -> list[str]:
        """Runs that have checkpoints, oldest first."""
        folders = [
            folder for folder in self.root.iterdir() if folder.is_dir() and not folder.name.startswith(".")
        ]
        return [folder.name for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime)]

    def checkpoints(self, run: str) -> list[tuple[TinkerPath, CheckpointRecord]]:
        """The readable checkpoints of a run, oldest first."""
        check_name("run", run)
        found: list[tuple[TinkerPath, CheckpointRecord]] = []
        for folder in (self.root / run).glob("*/*"):
            with contextlib.suppress(RequestError):  # damaged, expired, or not a checkpoint: not on the list
                path = TinkerPath(run, folder.parent.name, folder.name)
                found.append((path, self.read(path)))
        return sorted(found, key=lambda pair: pair[1].created)

    def _move_into_place(self, partial: Path, place: Path) -> None:
        replaced = _hidden("replaced", place)
        if place.exists():
            place.rename(replaced)
        try:
            partial.rename(place)
        except OSError:
            if replaced.exists():
                replaced.rename(place)
            raise
        for folder in (place.parent, place.parent.parent, self.root):
            _sync(folder)
        shutil.rmtree(replaced, ignore_errors=True)

    def _rewrite(self, path: TinkerPath, record: CheckpointRecord) -> None:
        draft = self.folder(path) / f".{RECORD}-{uuid.uuid4().hex}"
        draft.write_text(record.to_json(), encoding="utf-8")
        draft.replace(self.folder(path) / RECORD)


def expiry(ttl_seconds: int | None) -> datetime | None:
    """The moment that a time to live ends; None lives for ever."""
    if ttl_seconds is None:
        return None
    if not 0 < ttl_seconds <= 10 * 366 * 86400:
        raise RequestError(422, f"ttl_seconds: expected 1 second to 10 years, got {ttl_seconds}")
    return datetime.now(UTC) + timedelta(seconds=ttl_seconds)


def _hidden(role: str, place: Path) -> Path:
    return place.with_name(f".{role}-{os.getpid()}-{uuid.uuid4().hex}-{place.name}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
