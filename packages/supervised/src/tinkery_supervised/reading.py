"""Batches read ahead of the training, in one thread of their own, so that tokenising delays no step."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


class DataThread:
    """The thread in which datasets are read: they go on from where they stand, so one thread has them alone."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor

    async def run(self, function: Callable[[], T]) -> T:
        """What the function returns or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    async def read_ahead(
        self, get_batch: Callable[[int], T], indices: Sequence[int], depth: int
    ) -> AsyncGenerator[T]:
        """The batches of the indices in order; up to `depth` of them are read before they are asked for."""
        ahead: deque[asyncio.Task[T]] = deque()
        try:
            for position in range(len(indices) + depth):
                if position < len(indices):
                    ahead.append(
                        asyncio.create_task(self.run(lambda index=indices[position]: get_batch(index)))
                    )
                if position >= depth:
                    yield await ahead.popleft()
        finally:
            for task in ahead:
                task.cancel()


@asynccontextmanager
async def data_thread() -> AsyncGenerator[DataThread]:
    """A thread that ends with the body, after the batch it is reading."""
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="data")
    try:
        yield DataThread(executor)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
