"""On-policy training: sample a batch, train on it, sample the next from the policy that came out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tinkery_rl.rollouts import rollout_batch

if TYPE_CHECKING:
    from tinkery_rl.session import Session


async def train_on_policy(session: Session) -> None:
    """Train on each batch exactly once. The line of step `k` is about batch `k` and the policy that sampled it."""
    snapshot = await session.first_snapshot()
    for step in range(session.first_step, session.num_steps):
        started = time.perf_counter()
        evaluation = await session.start_evaluation(step, snapshot)
        groups_P = await rollout_batch(session.batch(step), session.policy(snapshot, step), f"batch {step}")
        sampled = time.perf_counter()
        pending = await session.enqueue_step(step, groups_P)
        snapshot = await pending.snapshot
        trained = time.perf_counter()
        times = {
            "time/sampling": sampled - started,
            "time/training": trained - sampled,
            "time/total": trained - started,
        }
        session.report(pending, evaluation, times)
    await session.finish(snapshot)
