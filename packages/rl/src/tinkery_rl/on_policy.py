"""On-policy training: sample a batch, train on it, sample the next from the policy that came out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinkery_rl.session import Session


async def train_on_policy(session: Session) -> None:
    """Train on each batch exactly once. The line of step `k` is about batch `k` and the policy that sampled it."""
    for index in range(session.first_step, session.num_steps):
        await session.snapshot
        step = await session.open(index)
        groups = await session.sampler.collect(index)
        await step.update.add_and_apply(groups, session.config.num_substeps)
        await session.close(step, groups)
    await session.finish()
