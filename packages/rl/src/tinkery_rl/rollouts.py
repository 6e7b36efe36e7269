"""Rollouts of groups and of batches, and what becomes of them when an environment fails."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from tinkery_rl.calls import RolloutError, call_env, clean_up
from tinkery_rl.episode import Episode
from tinkery_rl.types import GroupResult, NoTurn, Trajectory, TrajectoryGroup

if TYPE_CHECKING:
    from tinkery_core.completers import TokenCompleter

    from tinkery_rl.rollout_config import RolloutConfig
    from tinkery_rl.types import Cut, EnvGroupBuilder

__all__ = ["RolloutError", "gather", "play_batch", "play_group"]

T = TypeVar("T")

Played: TypeAlias = "tuple[Episode, Trajectory]"


async def play_batch(
    builders_P: Sequence[EnvGroupBuilder], policy: TokenCompleter, name: str, limits: RolloutConfig
) -> list[GroupResult]:
    """Play all groups of a batch side by side, at most `max_concurrent_groups` at a time.

    The first failure that is not tolerated ends the others and is raised; so is that no group came through.
    """
    places = asyncio.Semaphore(limits.max_concurrent_groups)

    async def play(p: int, builder: EnvGroupBuilder) -> GroupResult:
        async with places:
            return await play_group(builder, policy, f"{name}, group {p}", limits)

    results_P = await gather([play(p, builder) for p, builder in enumerate(builders_P)])
    if results_P and all(result.group is None for result in results_P):
        raise RolloutError(f"{name}: no group came through. First, {results_P[0].failures[0]}")
    return results_P


async def play_group(
    builder: EnvGroupBuilder, policy: TokenCompleter, name: str, limits: RolloutConfig
) -> GroupResult:
    """Play the episodes of one group side by side, then ask the group for its rewards. Always cleans up.

    A group in which anything fails is played again, up to `retries` times. After that, with `min_alive` below 1,
    failed members are left out of the group, and the group's own failure leaves it out of its batch. Otherwise
    the failure is raised as RolloutError, calling the group `name`. Errors of the user, of the service and of
    the policy are raised at once.

    All first observations are gathered before the first action, so that equal ones become one request whatever
    the time that each env took to start; not so if `members_interact`. A seat that waits in a call for the moves
    of others waits for their sampling too: `max_call_seconds` has to allow for it.
    """
    failures: list[RolloutError] = []
    for num_retries in range(limits.retries + 1):
        attempt = _Attempt(builder, policy, name, limits, is_last=num_retries == limits.retries)
        group = await attempt.play()
        failures += attempt.failures
        if group is not None:
            return GroupResult(group, _texts(failures), num_retries, attempt.num_left_out)
    if limits.min_alive < 1:
        return GroupResult(None, _texts(failures), limits.retries)
    if limits.retries == 0:
        raise failures[0]
    raise RolloutError(
        f"{failures[-1]}\nAll attempts at the group failed (rollouts.retries={limits.retries})."
    )


def _texts(failures: Sequence[RolloutError]) -> list[str]:
    return [str(failure) for failure in failures]


class _GameCut(Exception):
    """A bound cut one seat of a game short, so that the others would wait for it in vain."""

    def __init__(self, cut: Cut) -> None:
        self.cut: Cut = cut


class _Attempt:
    """One attempt at a group. The last one tolerates failed members, as far as `min_alive` allows."""

    def __init__(
        self,
        builder: EnvGroupBuilder,
        policy: TokenCompleter,
        name: str,
        limits: RolloutConfig,
        is_last: bool,
    ) -> None:
        self.failures: list[RolloutError] = []
        self.num_left_out = 0
        self._builder = builder
        self._policy = policy
        self._name = name
        self._limits = limits
        self._share_tolerated = 1 - limits.min_alive if is_last and not builder.members_interact else 0.0
        self._num_tolerated = 0

    async def play(self) -> TrajectoryGroup | None:
        """The group, or None if it failed. `failures` says how."""
        try:
            group = await self._play()
        except RolloutError as error:
            self.failures.append(error)
            group = None
        except BaseException:
            with suppress(Exception):  # something else failed before
                await self._clean_up()
            raise
        try:
            await self._clean_up()
        except RolloutError as error:
            group = group if self.failures else None
            self.failures.append(error)
        return group

    async def _play(self) -> TrajectoryGroup:
        builder = self._builder
        envs_G = await self._call("make_envs", builder.make_envs)
        if not envs_G:
            raise RolloutError(f"{self._place('make_envs')} made no envs")
        self._num_tolerated = math.floor(self._share_tolerated * len(envs_G) + 1e-9)
        episodes_G = [
            Episode(env, self._policy, f"{self._name}, member {member}", self._limits)
            for member, env in enumerate(envs_G)
        ]
        play = self._play_game if builder.members_interact else self._play_members
        played_G = await play(episodes_G)
        self.num_left_out = len(envs_G) - len(played_G)
        envs_G = [episode.env for episode, _ in played_G]
        trajectories_G = [trajectory for _, trajectory in played_G]
        rewards_G = await self._call(
            "compute_group_rewards", lambda: builder.compute_group_rewards(trajectories_G, envs_G)
        )
        if len(rewards_G) != len(envs_G):
            place = self._place("compute_group_rewards")
            raise RolloutError(f"{place} gave {len(rewards_G)} rewards to {len(envs_G)} members")
        group = TrajectoryGroup(trajectories_G, rewards_G, builder.logging_tags())
        if not all(map(math.isfinite, group.rewards_G)):
            raise RolloutError(f"{self._name}: rewards have to be finite, got {group.rewards_G}")
        return group

    async def _play_members(self, episodes_G: Sequence[Episode]) -> list[Played]:
        """All members that came through, each on its own."""
        observations_G = await gather([self._tolerant(episode.first_observation) for episode in episodes_G])
        started = [
            (episode, observation)
            for episode, observation in zip(episodes_G, observations_G, strict=True)
            if observation is not None
        ]
        trajectories = await gather(
            [self._tolerant(partial(episode.play, observation)) for episode, observation in started]
        )
        return [
            (episode, trajectory)
            for (episode, _), trajectory in zip(started, trajectories, strict=True)
            if trajectory is not None
        ]

    async def _tolerant(self, member: Callable[[], Awaitable[T]]) -> T | None:
        try:
            return await member()
        except RolloutError as error:
            if len(self.failures) >= self._num_tolerated:
                raise
            self.failures.append(error)
            return None

    async def _play_game(self, episodes_G: Sequence[Episode]) -> list[Played]:
        """All seats; a bound that cuts one short ends the game for the others where they are."""

        async def play(episode: Episode) -> Played:
            try:
                observation = await episode.first_observation()
            except RolloutError as error:
                if isinstance(error.__cause__, NoTurn):
                    return episode, Trajectory([])
                raise
            trajectory = await episode.play(observation)
            if trajectory.cut is not None:
                raise _GameCut(trajectory.cut)
            return episode, trajectory

        try:
            return await gather([play(episode) for episode in episodes_G])
        except _GameCut as game:
            return [(episode, episode.cut_short(game.cut)) for episode in episodes_G]

    async def _clean_up(self) -> None:
        await clean_up(self._place("cleanup"), self._builder.cleanup, self._limits.max_call_seconds)

    async def _call(self, method: str, call: Callable[[], Awaitable[T]]) -> T:
        return await call_env(self._place(method), call, self._limits.max_call_seconds)

    def _place(self, method: str) -> str:
        return f"{self._name}: {type(self._builder).__name__}.{method}"


async def gather(awaitables: Sequence[Awaitable[T]]) -> list[T]:
    """Results in order. Unlike `asyncio.gather`, a failure cancels the others and waits until they have cleaned up."""
    futures = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        return await asyncio.gather(*futures)
    except BaseException:
        for future in futures:
            future.cancel()
        await asyncio.gather(*futures, return_exceptions=True)
        raise
