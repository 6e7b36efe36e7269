"""The run folder on disk: one process has it at a time, it belongs to one config, and it resumes exactly once."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tinkery_core.checkpoint_log import Checkpoint, CheckpointLog
from tinkery_core.errors import UserError
from tinkery_core.jsonl import is_record, keep_lines, write_atomically

METRICS = "metrics.jsonl"
ROLLOUTS = "rollouts.jsonl"
CHECKPOINTS = "checkpoints.jsonl"
LOG = "log.txt"
CONFIG_JSON = "config.json"
CONFIG_YAML = "config.yaml"
SERVER_LOG = "server.log"
STORE = "store"
WANDB_ID = "wandb_id.txt"
_LOCK = ".lock"
_OWN = {METRICS, ROLLOUTS, CHECKPOINTS, LOG, CONFIG_JSON, CONFIG_YAML, SERVER_LOG, STORE, WANDB_ID, "wandb"}

Values = Mapping[str, object]
"""Blueprint values of a config: nested plain data."""


@contextmanager
def claimed(folder: Path) -> Generator[None]:
    """Hold the folder for this process; the claim dies with the process, however it ends.

    Raises UserError if another process holds it, or if the folder holds something else than a run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    foreign = [
        path.name for path in folder.iterdir() if path.name not in _OWN and not path.name.startswith(".")
    ]
    if foreign and not (folder / CONFIG_JSON).exists():
        raise UserError(
            f"run_dir={folder} holds no run but other files, e.g. {min(foreign)}.\nChoose a new or an empty folder."
        )
    with (folder / _LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UserError(
                f"run_dir={folder} is in use by another run (process {lock.read().strip() or 'unknown'}).\n"
                "Wait until it ends, or choose another run_dir."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def record_config(folder: Path, values: Values, yaml: str) -> None:
    """Write config.json and config.yaml, or check that the folder's run has the same config.

    `run_dir` itself is not compared: a folder may be moved. A run that got nowhere binds nobody to its config.
    Raises UserError with the keys that differ.
    """
    path = folder / CONFIG_JSON
    if path.exists() and any((folder / name).exists() for name in (METRICS, CHECKPOINTS)):
        _check_same(folder, json.loads(path.read_text()), values)
        return
    write_atomically(folder / CONFIG_YAML, yaml)
    write_atomically(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _check_same(folder: Path, recorded: Values, values: Values) -> None:
    before, now = dict(_leaves(recorded)), dict(_leaves(values))
    differing = sorted(
        key for key in before.keys() | now.keys() if before.get(key) != now.get(key) and key != "run_dir"
    )
    if differing:
        lines = [f"  {key}: {_show(before, key)} there, {_show(now, key)} here" for key in differing]
        raise UserError(
            f"run_dir={folder} holds a run with a different config:\n"
            + "\n".join(lines)
            + "\nChoose another run_dir, or type the same config again to resume."
        )


def _leaves(value: object, path: str = "") -> Generator[tuple[str, object]]:
    if is_record(value) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, value


def _show(leaves: Mapping[str, object], key: str) -> str:
    return json.dumps(leaves[key], ensure_ascii=False) if key in leaves else "not set"


def rewind(folder: Path) -> Checkpoint | None:
    """Cut metrics and rollouts off after the last checkpoint, which is returned; without one, cut them all.

    A checkpoint after `n` applied batches has seen steps 0 … n - 1. A final one closes the run, so the evaluation of
    the final weights, which stands at step n, stays.
    """
    keep_lines(folder / CHECKPOINTS, lambda record: True)
    last = CheckpointLog(folder / CHECKPOINTS).last()
    seen = 0 if last is None else last.step
    end = seen + 1 if last is not None and last.kind == "final" else seen
    for name in (METRICS, ROLLOUTS):
        keep_lines(folder / name, lambda record: int(str(record["step"])) < end)
    return last
