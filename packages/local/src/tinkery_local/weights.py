"""Where samplers find the weights that they draw from. All of it runs on the engine thread."""

import logging
import shutil
import uuid
from collections import OrderedDict
from pathlib import Path

from tinkery_local.engine import Engine, EngineError, Snapshot

MEMORY_BYTES = 256 * 2**20

logger = logging.getLogger(__name__)


class WeightShelf:
    """Snapshots by key: those used last in memory, the others on disk; a run makes one a step and ends none.

    `folder` is made when it is first needed.
    """

    def __init__(self, engine: Engine, folder: Path, memory_bytes: int = MEMORY_BYTES) -> None:
        self._engine = engine
        self._folder = folder
        self._limit = memory_bytes
        self._in_memory: OrderedDict[str, Snapshot] = OrderedDict()
        self._on_disk: dict[str, Path] = {}

    def put(self, key: str, snapshot: Snapshot) -> None:
        """Keep a snapshot; one that was kept under the same key is replaced."""
        self.drop(key)
        self._in_memory[key] = snapshot
        self._move_oldest_to_disk()

    def load(self, key: str, folder: Path) -> None:
        """Keep the snapshot of a checkpoint's folder; EngineError if it can't be read."""
        self.put(key, self._engine.load_snapshot(folder))

    def get(self, key: str) -> Snapshot:
        """The snapshot of a key; EngineError if there is none, which is so when making it has failed."""
        if key in self._on_disk:
            self.load(key, self._on_disk[key])
        if key not in self._in_memory:
            raise EngineError(
                "this sampling client has no weights: saving them failed, or its session has ended"
            )
        self._in_memory.move_to_end(key)
        return self._in_memory[key]

    def drop(self, key: str) -> None:
        """Forget a snapshot, if it is here."""
        self._in_memory.pop(key, None)
        folder = self._on_disk.pop(key, None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _move_oldest_to_disk(self) -> None:
        while len(self._in_memory) > 1 and sum(map(_bytes, self._in_memory.values())) > self._limit:
            key, snapshot = next(iter(self._in_memory.items()))
            folder = self._folder / uuid.uuid4().hex
            try:
                self._engine.save(snapshot, folder)
            except OSError as error:
                logger.warning("sampler weights stay in memory, because the disk refused them: %s", error)
                shutil.rmtree(folder, ignore_errors=True)
                return
            self._on_disk[key] = folder
            del self._in_memory[key]


def _bytes(snapshot: Snapshot) -> int:
    return 0 if snapshot.weights is None else snapshot.weights.nbytes
