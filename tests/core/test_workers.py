"""Workers: values and exceptions come back, and whatever a function does, only its own call fails."""

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from select import select
from types import ModuleType

import pytest
from tinkery_core.workers import WorkerError, WorkerTimeout, run_in_worker

# No bound that a test doesn't mean to reach: it would have to do with the speed of the machine.
AMPLE = 120.0


async def test_values_and_exceptions_of_the_function_come_back() -> None:
    assert await run_in_worker(sorted, [2, 1], seconds=AMPLE) == [1, 2]
    with pytest.raises(ValueError, match="math domain error") as raised:
        await run_in_worker(math.sqrt, -1.0, seconds=AMPLE)
    assert "In a worker process" in raised.value.__notes__[0]


async def test_one_process_serves_call_after_call() -> None:
    assert len({await run_in_worker(os.getpid, seconds=AMPLE) for _ in range(3)}) == 1


@pytest.mark.parametrize("endless", [partial(time.sleep, 1000), partial(exec, "while True: pass")])
async def test_a_call_past_its_time_is_killed_and_the_next_one_works(endless: partial[None]) -> None:
    with pytest.raises(WorkerTimeout, match=r"^functools\.partial\(.*\) took longer than 0\.1 s in a worker"):
        await run_in_worker(endless, seconds=0.1)
    assert await run_in_worker(math.sqrt, 4.0, seconds=AMPLE) == 2


async def test_an_endless_call_delays_no_other() -> None:
    endless = asyncio.create_task(run_in_worker(time.sleep, 1000, seconds=AMPLE))
    assert [await run_in_worker(math.sqrt, 4.0, seconds=AMPLE) for _ in range(3)] == [2, 2, 2]
    assert not endless.done()
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless


@pytest.mark.parametrize(
    ("deadly", "message"),
    [
        (partial(os._exit, 3), "ended its worker with exit status 3"),
        (partial(os.kill, 0, signal.SIGSEGV), "ended its worker with signal SIGSEGV"),
        (partial(sys.exit, 1), "raised SystemExit: 1"),
    ],
)
async def test_a_function_that_ends_its_process_is_named(deadly: partial[object], message: str) -> None:
    with pytest.raises(WorkerError, match=message):
        await run_in_worker(deadly, seconds=AMPLE)
    assert await run_in_worker(math.sqrt, 4.0, seconds=AMPLE) == 2


async def test_what_does_not_pickle_is_named() -> None:
    with pytest.raises(WorkerError, match=r"<lambda> cannot be called in a worker: .* top level of a module"):
        await run_in_worker(lambda: None, seconds=AMPLE)
    with pytest.raises(WorkerError, match=r"^io\.open returned what does not pickle"):
        await run_in_worker(open, os.devnull, seconds=AMPLE)


MODULE = """
import subprocess, sys

class Picky(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")

def picky():
    raise Picky("one", "two")

def noisy():
    print("noise")
    subprocess.run([sys.executable, "-c", "print('more noise')"])
    return sys.stdin.read()

def loaded():
    return {name.partition(".")[0] for name in sys.modules}

def spin(path):
    with open(path, "w") as pipe:
        print("spinning", file=pipe, flush=True)
        while True:
            pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that only this process finds, with a name of its own for each test, as workers stay."""
    name = f"only_for_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return import_module(name)


async def test_a_worker_finds_what_this_process_finds(module: ModuleType) -> None:
    """And what a function prints does not disturb the conversation with its worker."""
    assert await run_in_worker(module.noisy, seconds=AMPLE) == ""
    with pytest.raises(WorkerError, match="raised Picky, which does not pickle: one and two"):
        await run_in_worker(module.picky, seconds=AMPLE)


async def test_a_function_that_a_worker_does_not_find_is_named(module: ModuleType, tmp_path: Path) -> None:
    sys.path.remove(str(tmp_path))
    with pytest.raises(WorkerError, match=r"\.noisy cannot be loaded in a worker: ModuleNotFoundError"):
        await run_in_worker(module.noisy, seconds=AMPLE)


async def test_a_worker_imports_nothing_heavy(module: ModuleType) -> None:
    loaded: set[str] = await run_in_worker(module.loaded, seconds=AMPLE)
    assert not loaded & {"tinker", "transformers", "renderers", "hydra", "numpy", "asyncio"}


PROGRAM = """
import asyncio, importlib, sys
from tinkery_core.workers import run_in_worker
module = importlib.import_module(sys.argv[1])
asyncio.run(run_in_worker(module.spin, sys.argv[2], seconds=1000))
"""


def test_no_worker_outlives_a_process_that_is_killed(module: ModuleType, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-c", PROGRAM, module.__name__, str(pipe)]
    spinning = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(command, cwd=tmp_path) as program:
        assert select([spinning], [], [], AMPLE)[0], "the worker has not started"
        assert os.read(spinning, 100) == b"spinning\n"
        program.kill()
        assert select([spinning], [], [], AMPLE)[0], "the worker is still there"
        assert os.read(spinning, 100) == b""
    os.close(spinning)
