"""Plays a group against a script instead of a policy, and keeps all that happened for checks to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from tinkery_core.run_service import NotConnected

from tinkery_rl.check_env.calls import CALLS, Announce, Call, bounded_call
from tinkery_rl.check_env.report import CheckFailed
from tinkery_rl.check_env.script import Script
from tinkery_rl.rollouts import gather
from tinkery_rl.types import (
    Env,
    EnvGroupBuilder,
    GroupReward,
    NoTurn,
    Observation,
    StepResult,
    Trajectory,
    Transition,
)

T = TypeVar("T")

MAKE_ENVS, ENDS = "make_envs", "end of episode"


@dataclass(frozen=True)
class Bounds:
    """How long a call may take, how long it may block the event loop, and how many turns an episode may have.

    `says` are texts that the script writes, such as legal moves, to come further than random tokens do.
    """

    call_s: float = 30.0
    block_s: float = 1.0
    turns: int = 100
    says: tuple[str, ...] = ()


@dataclass
class Recording:
    """What happened when a group was played. `trouble` is what kept it from being played to its end."""

    place: str
    is_game: bool = False
    envs_G: Sequence[Env] = ()
    turns_G: list[list[Transition]] = field(default_factory=list[list[Transition]])
    ended_G: list[bool] = field(default_factory=list[bool])
    first_G: list[Observation | None] = field(default_factory=list[Observation | None])
    group_rewards_G: Sequence[GroupReward] | None = None
    needs_service: bool = False
    trouble: CheckFailed | None = None
    cleanup_trouble: CheckFailed | None = None
    longest_block_s: float = 0.0
    longest_call: str = ""

    def note(self, place: str, block_s: float) -> None:
        """A call kept the event loop to itself for so long."""
        if block_s > self.longest_block_s:
            self.longest_block_s, self.longest_call = block_s, place

    @property
    def outcome(self) -> str:
        """All that two equal plays have in common, as text, in which even two NaNs are equal."""
        return repr([self.turns_G, self.ended_G, self.group_rewards_G])


class Player:
    """Plays groups by a script, each call with a bound."""

    def __init__(self, script: Script, bounds: Bounds, announce: Announce) -> None:
        self.script = script
        self.bounds = bounds
        self.announce = announce
        self._hung_cleanup: CheckFailed | None = None

    async def play_all(self, builders: Mapping[str, EnvGroupBuilder]) -> list[Recording]:
        """Play groups one after the other, none after one that hung."""
        recordings: list[Recording] = []
        for place, builder in builders.items():
            recordings.append(await self.play(builder, place))
            if recordings[-1].trouble is not None and recordings[-1].trouble.hung:
                break
        return recordings

    async def play(self, builder: EnvGroupBuilder, place: str, *, first_only: bool = False) -> Recording:
        """Play a group to its end, or up to its first observations. What goes wrong is in the recording."""
        recording = Recording(place, builder.members_interact)
        try:
            await self._play(builder, recording, first_only)
        except CheckFailed as trouble:
            recording.trouble = trouble
        recording.cleanup_trouble = await self.clean_up(builder, place, recording)
        return recording

    async def clean_up(
        self, builder: EnvGroupBuilder, place: str, recording: Recording | None = None
    ) -> CheckFailed | None:
        """What went wrong in `cleanup`, if anything did. One that hung is not called again: it would cost as long."""
        if self._hung_cleanup is not None:
            return self._hung_cleanup
        try:
            await self.call(recording or Recording(place), f"{place}: cleanup", builder.cleanup)
        except CheckFailed as trouble:
            self._hung_cleanup = trouble if trouble.hung else None
            return trouble
        return None

    async def _play(self, builder: EnvGroupBuilder, recording: Recording, first_only: bool) -> None:
        recording.envs_G = await self.call(recording, f"{recording.place}: make_envs", builder.make_envs)
        num_envs = len(recording.envs_G)
        others = [name for env in recording.envs_G if (name := _other_than_an_env(env))]
        if not num_envs or others:
            raise CheckFailed(
                MAKE_ENVS,
                f"{recording.place}: make_envs gave {f'a {others[0]} for an env' if others else 'no envs'}",
                "return a list of Env objects, one a member",
            )
        recording.turns_G = [[] for _ in range(num_envs)]
        recording.ended_G = [False] * num_envs
        recording.first_G = [None] * num_envs
        members = [self._play_member(recording, g, first_only) for g in range(num_envs)]
        if first_only and recording.is_game:  # the others wait for a move that never comes
            await _first_of(members)
            return
        await gather(members)
        if not first_only:
            trajectories_G = [Trajectory(turns) for turns in recording.turns_G]
            grade = partial(builder.compute_group_rewards, trajectories_G, recording.envs_G)
            try:
                recording.group_rewards_G = await self.call(
                    recording, f"{recording.place}: compute_group_rewards", grade
                )
            except CheckFailed as failure:
                if not isinstance(failure.__cause__, NotConnected):
                    raise
                recording.needs_service = True

    async def _play_member(self, recording: Recording, g: int, first_only: bool) -> None:
        env, place = recording.envs_G[g], f"{recording.place}, member {g}"
        observation = await self._first_observation(recording, g, place)
        recording.first_G[g] = observation
        if first_only:
            return
        turns = recording.turns_G[g]
        while observation is not None:
            if len(turns) == self.bounds.turns:
                raise CheckFailed(
                    ENDS,
                    f"{place}: not over after {len(turns)} turns",
                    "end the episode at some turn whatever the policy says, or give --max-turns more",
                )
            action = self.script.action(place, len(turns), observation.stop)
            where = f"{place}, turn {len(turns)}: step"
            result = _typed(await self.call(recording, where, partial(env.step, action)), StepResult, where)
            turns.append(Transition(observation, action, result.reward, result.metrics))
            observation = result.next_observation
        recording.ended_G[g] = True

    async def _first_observation(self, recording: Recording, g: int, place: str) -> Observation | None:
        where, env = f"{place}: initial_observation", recording.envs_G[g]
        try:
            return _typed(await self.call(recording, where, env.initial_observation), Observation, where)
        except CheckFailed as failure:
            if recording.is_game and isinstance(failure.__cause__, NoTurn):
                recording.ended_G[g] = True
                return None
            raise

    async def call(self, recording: Recording, place: str, function: Call[T]) -> T:
        """What an awaited call returns. Raises CheckFailed if it raises or does not come back in time."""
        return await bounded_call(function, place, self.bounds.call_s, self.announce, recording.note)


def _other_than_an_env(value: object) -> str | None:
    return None if isinstance(value, Env) else type(value).__name__


def _typed(value: object, expected: type[T], place: str) -> T:
    if isinstance(value, expected):
        return value
    raise CheckFailed(
        CALLS, f"{place} returned a {type(value).__name__}", f"return a {expected.__name__} there"
    )


async def _first_of(coroutines: Sequence[Coroutine[object, object, None]]) -> None:
    """Run side by side until the first ends, and cancel the others. Raises what the first raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.wait(tasks)
    for task in done:
        task.result()
