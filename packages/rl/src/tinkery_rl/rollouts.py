"""Rollouts: policy and environments take turns, all groups at once.

Tokens are only ever appended to. The policy sees the tokens that an env gives it, and what it sampled goes
into the trajectory as it is; text is for envs and graders.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from tinkery_core.errors import ServiceError, UserError

from tinkery_rl.types import Trajectory, TrajectoryGroup, Transition

if TYPE_CHECKING:
    from tinkery_core.completers import TokenCompleter

    from tinkery_rl.types import Env, EnvGroupBuilder, Observation

T = TypeVar("T")


class RolloutError(Exception):
    """An environment failed. The message names the env, its group and its member; the cause is the env's own error."""


async def rollout(env: Env, policy: TokenCompleter, observation: Observation, name: str) -> Trajectory:
    """Play one episode from its first observation to its end. Raises RolloutError, calling the episode `name`."""
    transitions: list[Transition] = []
    while True:
        action = await policy(observation.tokens, observation.stop)
        with _naming(f"{name}, turn {len(transitions)}: {type(env).__name__}.step"):
            result = await env.step(action)
        transitions.append(Transition(observation, action, result.reward, result.metrics))
        if result.next_observation is None:
            return Trajectory(transitions)
        observation = result.next_observation


async def rollout_group(builder: EnvGroupBuilder, policy: TokenCompleter, name: str) -> TrajectoryGroup:
    """Play the episodes of one group side by side, then ask the group for its rewards. Always cleans up.

    All first observations are gathered before the first action, so that equal ones become one request
    whatever the time that each env took to start. Raises RolloutError, calling the group `name`.
    """
    maker = type(builder).__name__
    try:
        with _naming(f"{name}: {maker}.make_envs"):
            envs_G = await builder.make_envs()
        if not envs_G:
            raise RolloutError(f"{name}: {maker}.make_envs made no envs")
        names_G = [f"{name}, member {member}" for member in range(len(envs_G))]
        observations_G = await gather(
            [_first_observation(env, name_of_env) for env, name_of_env in zip(envs_G, names_G, strict=True)]
        )
        trajectories_G = await gather(
            [
                rollout(env, policy, observation, name_of_env)
                for env, observation, name_of_env in zip(envs_G, observations_G, names_G, strict=True)
            ]
        )
        with _naming(f"{name}: {maker}.compute_group_rewards"):
            group_rewards_G = await builder.compute_group_rewards(trajectories_G, envs_G)
    finally:
        with _naming(f"{name}: {maker}.cleanup"):
            await builder.cleanup()
    if len(group_rewards_G) != len(envs_G):
        raise RolloutError(
            f"{name}: {maker}.compute_group_rewards gave {len(group_rewards_G)} rewards to {len(envs_G)} members"
        )
    group = TrajectoryGroup(trajectories_G, group_rewards_G, builder.logging_tags())
    if not all(map(math.isfinite, group.rewards_G)):
        raise RolloutError(f"{name}: rewards have to be finite, got {group.rewards_G}")
    return group


async def rollout_batch(
    builders_P: Sequence[EnvGroupBuilder], policy: TokenCompleter, name: str
) -> list[TrajectoryGroup]:
    """Play all groups of a batch side by side. The first failure ends the others and is raised."""
    return await gather(
        [rollout_group(builder, policy, f"{name}, group {p}") for p, builder in enumerate(builders_P)]
    )


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


async def _first_observation(env: Env, name: str) -> Observation:
    with _naming(f"{name}: {type(env).__name__}.initial_observation"):
        return await env.initial_observation()


@contextmanager
def _naming(place: str) -> Generator[None]:
    """Make whatever an environment raises a RolloutError that says where; errors of user and service stay."""
    try:
        yield
    except (UserError, ServiceError):
        raise
    except Exception as error:
        raise RolloutError(f"{place} raised {type(error).__name__}: {error}") from error
