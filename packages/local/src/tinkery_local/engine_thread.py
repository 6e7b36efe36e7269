"""The one thread on which everything of the engine runs, and the way back to the event loop."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from tinkery_local.lanes import FairScheduler, Lane

Result = TypeVar("Result")
Work = Callable[[], None]
"""Something to run on the engine thread. It delivers its own result or failure, and does not raise."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One request of a model; `durable` if it writes to disk, which a stopping server still does."""

    work: Work
    durable: bool = False


class JobLane(Lane):
    """Jobs one after another, in the order of their submission."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def has_work(self) -> bool:
        return bool(self._jobs)

    def run_turn(self) -> None:
        self._jobs.popleft().work()

    def keep_promises(self) -> None:
        while self._jobs and not self._jobs[-1].durable:
            self._jobs.pop()


class EngineThread:
    """Runs the turns of its lanes, fairly, until stopped. All but `post` is for the event loop to call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._errands = JobLane()
        self._lanes: list[Lane] = [self._errands]
        self._scheduler = FairScheduler()
        self._wake = threading.Condition()
        self._stopping = False
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, lane: Lane) -> None:
        with self._wake:
            self._lanes = [*self._lanes, lane]

    def remove(self, lane: Lane) -> None:
        with self._wake:
            self._lanes = [other for other in self._lanes if other is not lane]

    def notify(self) -> None:
        """Say that a lane has new work."""
        with self._wake:
            self._wake.notify()

    def post(self, deliver: Work) -> None:
        """From the engine thread: run something on the event loop."""
        self._loop.call_soon_threadsafe(deliver)

    def run(self, work: Work) -> None:
        """Run something that belongs to no lane."""
        self._errands.submit(Job(work))
        self.notify()

    def submit(self, function: Callable[[], Result]) -> asyncio.Future[Result]:
        """Run a function that belongs to no lane; the future gets what it returns or raises."""
        future: asyncio.Future[Result] = self._loop.create_future()

        def work() -> None:
            try:
                result = function()
            except Exception as error:
                self.post(partial(_fail, future, error))
            else:
                self.post(partial(_succeed, future, result))

        self.run(work)
        return future

    async def stop(self) -> None:
        """Finish the turn that runs now and what must not be lost, drop the rest, end the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        await self._stopped.wait()

    def _run(self) -> None:
        while (lane := self._next()) is not None:
            started = time.perf_counter()
            try:
                lane.run_turn()
            except Exception:
                logger.exception("a fault in the server: a turn of %s failed", type(lane).__name__)
            lane.served += time.perf_counter() - started
        self.post(self._stopped.set)

    def _next(self) -> Lane | None:
        with self._wake:
            while True:
                if self._stopping:
                    for lane in self._lanes:
                        lane.keep_promises()
                lane = self._scheduler.pick(self._lanes)
                if lane is not None or self._stopping:
                    return lane
                self._wake.wait()


def _succeed(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Result], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
