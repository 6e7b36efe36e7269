"""The groups of a step: which of the dataset's batches they come from, and which policy plays them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from tinkery_core.completers import SamplingCompleter

from tinkery_rl.advantages import is_constant
from tinkery_rl.rollouts import RolloutError, play_group

if TYPE_CHECKING:
    import tinker

    from tinkery_rl.config import RLConfig
    from tinkery_rl.types import EnvGroupBuilder, GroupResult, RLDataset

T = TypeVar("T")


@dataclass(frozen=True)
class Snapshot:
    """A policy, its version, which is the number of steps applied to it, and when it was there."""

    version: int
    client: tinker.SamplingClient
    taken_at: float


@dataclass(frozen=True)
class SampledGroup:
    """A group as it was played: its place among the groups of its step, and the policy's version."""

    place: int
    result: GroupResult
    version: int

    @property
    def is_informative(self) -> bool:
        """Whether its members got different rewards."""
        group = self.result.group
        return group is not None and not is_constant(np.array(group.rewards_G))


class Sampler:
    """Plays the groups of any step, each with the latest policy there is when it begins.

    At most `rollouts.max_concurrent_groups` are played at once, over all steps.
    """

    latest: Snapshot

    def __init__(self, config: RLConfig, dataset: RLDataset) -> None:
        self.config = config
        self.dataset = dataset
        self._places = asyncio.Semaphore(config.rollouts.max_concurrent_groups)

    async def collect(self, step: int) -> list[SampledGroup]:
        """All groups of a step, in the dataset's order."""
        async with aclosing(self.stream(step)) as groups:
            return sorted([group async for group in groups], key=lambda group: group.place)

    async def stream(self, step: int) -> AsyncGenerator[SampledGroup]:
        """The groups of a step as they end; close it to end those that still play. Raises RolloutError.

        With dynamic sampling, further batches follow until enough groups are informative.
        """
        num_batches = self.config.batches_per_step
        policies: dict[int, SamplingCompleter] = {}
        sampled: list[SampledGroup] = []
        for index in range(step * num_batches, (step + 1) * num_batches):
            builders = self.dataset.get_batch(index)
            playing = [
                self._play(builder, step, policies, f"batch {index}, group {p}", len(sampled) + p)
                for p, builder in enumerate(builders)
            ]
            async with aclosing(as_they_end(playing)) as ended:
                async for group in ended:
                    sampled.append(group)
                    yield group
            if sum(group.is_informative for group in sampled) >= self.config.groups_per_batch:
                break
        if all(group.result.group is None for group in sampled):
            raise RolloutError(f"step {step}: no group came through. First, {sampled[0].result.failures[0]}")

    async def _play(
        self,
        builder: EnvGroupBuilder,
        step: int,
        policies: dict[int, SamplingCompleter],
        name: str,
        place: int,
    ) -> SampledGroup:
        async with self._places:
            snapshot = self.latest
            if snapshot.version not in policies:
                policies[snapshot.version] = self._policy(snapshot, step)
            policy = policies[snapshot.version]
            result = await play_group(builder, policy, name, self.config.rollouts)
        return SampledGroup(place, result, snapshot.version)

    def _policy(self, snapshot: Snapshot, step: int) -> SamplingCompleter:
        """The policy of a snapshot, with dice of its own for each step."""
        return SamplingCompleter(
            snapshot.client,
            seed=_seed(self.config.seed, step),
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
        )


async def as_they_end(coroutines: Sequence[Coroutine[object, object, T]]) -> AsyncGenerator[T]:
    """Results as they come. A failure, or closing the generator, ends the others and waits for their cleanup."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    ended: asyncio.Queue[asyncio.Task[T]] = asyncio.Queue()
    for task in tasks:
        task.add_done_callback(ended.put_nowait)
    try:
        for _ in tasks:
            yield (await ended.get()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _seed(seed: int, step: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)
