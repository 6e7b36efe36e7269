"""Tasks beside the main line of a run, without a group of errors when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


@asynccontextmanager
async def background_tasks() -> AsyncGenerator[asyncio.TaskGroup]:
    """Tasks that run beside the body. The first failure, there or here, ends all and is raised as itself."""
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except* Exception as group:
        failure = group.exceptions[0]
    if failure is not None:
        raise failure
