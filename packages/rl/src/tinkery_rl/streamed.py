"""On-policy training in a stream: each minibatch is trained on as soon as its groups have ended.

The passes of the minibatches add up to the gradient of the whole batch, which one optimizer step applies, so
the update is that of on-policy training; only the waiting for the slowest rollout is put to use.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinkery_rl.sampling import SampledGroup
    from tinkery_rl.session import Session


async def train_streamed(session: Session, num_minibatches: int, in_order: bool) -> None:
    """Train on each batch exactly once, in up to `num_minibatches` passes.

    In order, the groups of a minibatch are those of the dataset's order, so equal runs are equal to the bit;
    else they are the first that have ended.
    """
    size = -(-session.config.groups_per_batch // num_minibatches)
    for index in range(session.first_step, session.num_steps):
        await session.snapshot
        step = await session.open(index)
        groups: list[SampledGroup] = []
        minibatch: list[SampledGroup] = []
        async with aclosing(session.sampler.stream(index)) as ended:
            async for group in by_place(ended) if in_order else ended:
                groups.append(group)
                minibatch.append(group)
                if len(minibatch) == size:
                    await step.update.add(minibatch)
                    minibatch = []
        await step.update.add(minibatch)
        step.update.apply()
        await session.close(step, sorted(groups, key=lambda group: group.place))
    await session.finish()


async def by_place(groups: AsyncIterable[SampledGroup]) -> AsyncGenerator[SampledGroup]:
    """The groups in the order of their places; each waits for those before it."""
    early: dict[int, SampledGroup] = {}
    place = 0
    async for group in groups:
        early[group.place] = group
        while place in early:
            yield early.pop(place)
            place += 1
