"""The end of a run: nothing that hangs holds it up, and its status is the script's."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, time
from tinkery_core import event_loop

event_loop._END_TIMEOUT_S = 0.1
kept = []

async def stubborn_task():
    async def ignore_all():
        while True:
            try:
                await asyncio.sleep(1000)
            except BaseException:
                pass
    kept.append(asyncio.create_task(ignore_all()))

async def stubborn_generator():
    async def generate():
        try:
            yield
        finally:
            await asyncio.sleep(1000)
    kept.append(generate())
    async for _ in kept[0]:
        break

async def endless_thread():
    kept.append(asyncio.create_task(asyncio.to_thread(time.sleep, 1000)))

async def main():
    await {hanging}()
    await asyncio.sleep(0.1)
    raise ValueError("the script's own failure")

try:
    event_loop.run_to_end(main())
except ValueError as error:
    print(error)
event_loop.leave(7)
"""


@pytest.mark.parametrize("hanging", ["stubborn_task", "stubborn_generator", "endless_thread"])
def test_a_run_ends_whatever_hangs(hanging: str) -> None:
    program = [sys.executable, "-c", PROGRAM.replace("{hanging}", hanging)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "the script's own failure\n", "")
