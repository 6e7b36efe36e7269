"""Plays a group against a script instead of a policy, and keeps all that happened for checks to look at."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, TypeVar

from tinkery_rl.check_env_report import CheckFailed
from tinkery_rl.check_env_script import Script
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

Call: TypeAlias = Callable[[], Coroutine[object, object, T]]

MAKE_ENVS, CALLS, IN_TIME, ENDS = "make_envs", "calls", "calls in time", "end of episode"
CANCEL_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Bounds:
    """How long a call may take, how long it may block the event loop, and how many turns an episode may have.

    `says` are texts that the script writes, such as legal moves, to come further than random tokens do.
    """

    call_s: float = 30.0
    block_s: float = 1.0
    turns: int = 100
    says: tuple[str, ...] = ()


Announce = Callable[[str], None]
"""Told each time that a call takes over, so that somebody outside knows which one never came back."""


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
    trouble: CheckFailed | None = None
    cleanup_trouble: CheckFailed | None = None
    longest_block_s: float = 0.0
    longest_call: str = ""

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
        """What went wrong in `cleanup`, if anything did."""
        try:
            await self.call(recording or Recording(place), f"{place}: cleanup", builder.cleanup)
        except CheckFailed as trouble:
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
            recording.group_rewards_G = await self.call(
                recording,
                f"{recording.place}: compute_group_rewards",
                partial(builder.compute_group_rewards, trajectories_G, recording.envs_G),
            )

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
        task = asyncio.ensure_future(_Measured(function, recording, place, self.announce))
        try:
            await asyncio.wait([task], timeout=self.bounds.call_s)
            if task.done():
                return _result(task, place)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=CANCEL_TIMEOUT_S)
        raise CheckFailed(
            IN_TIME,
            f"{place} did not come back within {self.bounds.call_s:g} s",
            "put a bound on whatever it waits for, or give --timeout more",
        )


def _result(task: asyncio.Future[T], place: str) -> T:
    try:
        return task.result()
    except BaseException as error:
        raise CheckFailed(
            CALLS,
            f"{place} raised {type(error).__name__}: {error}",
            "a run ends when an environment raises: handle what a policy can write, or what the outside does",
        ) from error


class _Measured(Awaitable[T]):
    """A call that notes in a recording how long it kept the event loop to itself at a stretch."""

    def __init__(self, function: Call[T], recording: Recording, place: str, announce: Announce) -> None:
        self.function = function
        self.recording = recording
        self.place = place
        self.announce = announce

    def __await__(self) -> Generator[object, object, T]:
        resume = self._begin
        while True:
            self.announce(self.place)
            began = time.perf_counter()
            try:
                waits_for = resume()
            except StopIteration as ended:
                return ended.value
            finally:
                self._note(time.perf_counter() - began)
            try:
                yield waits_for
                resume = partial(self._coroutine.send, None)
            except BaseException as error:  # thrown in by a cancellation
                resume = partial(self._coroutine.throw, error)

    def _begin(self) -> object:
        made = self.function()
        if not inspect.iscoroutine(made):
            raise TypeError(f"it is no `async def`: calling it gave a {type(made).__name__}")
        self._coroutine: Coroutine[object, object, T] = made
        return self._coroutine.send(None)

    def _note(self, seconds: float) -> None:
        if seconds > self.recording.longest_block_s:
            self.recording.longest_block_s, self.recording.longest_call = seconds, self.place


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
