"""Off-policy training: the next batches are sampled while the policy is still learning from the last ones.

Batch `b` may begin as soon as the policy of version `b - K` is there, where K is `max_steps_off_policy`. It is
trained on in step `b`, so no group is older than K steps, none is thrown away, and batches are applied in the
dataset's order whatever each one took. At most K + 1 batches of rollouts are under way or waiting at a time,
which is what paces the sampler: K = 0 would be on-policy training.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinkery_rl.sampling import SampledGroup, Snapshot
    from tinkery_rl.session import Session


async def train_off_policy(session: Session, max_steps_off_policy: int) -> None:
    """Train on each batch exactly once. The line of step `k` is about batch `k` and the policies that sampled it."""
    playing: deque[asyncio.Task[list[SampledGroup]]] = deque()

    def play(index: int) -> None:
        if index < session.num_steps:
            playing.append(session.background.create_task(_sample_after(session, session.snapshot, index)))

    for ahead in range(max_steps_off_policy + 1):
        play(session.first_step + ahead)
    for index in range(session.first_step, session.num_steps):
        step = await session.open(index)
        groups = await playing.popleft()
        await step.update.add_and_apply(groups, session.config.num_substeps)
        await session.close(step, groups)
        play(index + 1 + max_steps_off_policy)
    await session.finish()


async def _sample_after(session: Session, snapshot: asyncio.Task[Snapshot], index: int) -> list[SampledGroup]:
    """Sample a step's groups, once the service has applied the steps before the snapshot."""
    await snapshot
    return await session.sampler.collect(index)
