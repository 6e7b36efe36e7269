"""What a wandb run holds after its folder was resumed, read from the files that offline mode leaves."""

import struct
from collections.abc import Callable, Generator
from importlib import import_module
from pathlib import Path
from typing import Protocol

import pytest
from tinkery_core.backend import LocalBackend
from tinkery_core.checkpoints import Checkpoint
from tinkery_core.model import ModelConfig
from tinkery_core.run import open_run
from tinkery_core.tracking import LoggingConfig, WandbConfig
from tinkery_demo.script import Count, DemoConfig

CONFIG = DemoConfig(
    run_dir="here",
    backend=LocalBackend(base_url="http://127.0.0.1:9"),
    model=ModelConfig(name="tinkery/tiny"),
    logging=LoggingConfig(wandb=WandbConfig(project="tests", mode="offline")),
    task=Count(),
)
HEADER, BLOCK = 7, 32768


class Number(Protocol):
    num: int


class History(Protocol):
    step: Number


class Record(Protocol):
    """What is looked at of wandb's message type."""

    history: History

    def HasField(self, name: str) -> bool: ...


def records(file: Path) -> Generator[bytes]:
    """A .wandb file is a log of records as LevelDB writes them: checksum, length and kind before each part."""
    data, position, parts = file.read_bytes(), HEADER, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        parts += data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def logged_steps() -> list[int]:
    import_module("wandb").teardown()  # else its own process may still be writing
    parse: Callable[[bytes], Record] = import_module("wandb.proto.wandb_internal_pb2").Record.FromString
    files = sorted(Path("here/wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    parsed = [parse(record) for file in files for record in records(file)]
    return [record.history.step.num for record in parsed if record.HasField("history")]


def test_a_step_that_is_trained_again_is_logged_once(capfd: pytest.CaptureFixture[str]) -> None:
    for first, last, saved in (
        (0, 5, 2),
        (2, 3, 3),
        (3, 8, 8),
    ):  # the second one is killed before it has caught up
        with open_run(CONFIG) as run:
            for step in range(first, last):
                run.log_metrics(step, {"env/all/reward/total": step / 2})
            run.checkpoints.append(
                Checkpoint(saved, "periodic", "tinker://x/weights/1", "tinker://x/sampler_weights/1")
            )
    assert logged_steps() == list(range(8))
    assert "WARN" not in "".join(capfd.readouterr()).upper()
