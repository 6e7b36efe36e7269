"""One episode: policy and environment take turns until the environment, or a bound, ends it.

Tokens are only ever appended to. The policy sees the tokens that an env gives it, and what it sampled goes
into the trajectory as it is; text is for envs and graders.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tinkery_rl.calls import RolloutError, call_env
from tinkery_rl.types import Observation, StepResult, Trajectory, Transition

if TYPE_CHECKING:
    from tinkery_core.completers import Completion, TokenCompleter

    from tinkery_rl.rollout_config import RolloutConfig
    from tinkery_rl.types import Cut, Env

T = TypeVar("T")


class Episode:
    """One env's episode, called `name` in errors. Its methods raise RolloutError where the env fails."""

    def __init__(self, env: Env, policy: TokenCompleter, name: str, limits: RolloutConfig) -> None:
        self.env = env
        self.name = name
        self._policy = policy
        self._limits = limits
        self._turns: list[Transition] = []
        self._unanswered: tuple[Observation, Completion] | None = None
        self._over = False

    async def first_observation(self) -> Observation:
        """What the policy sees first."""
        place = f"{self.name}: {type(self.env).__name__}.initial_observation"
        observation = await call_env(place, self.env.initial_observation, self._limits.max_call_seconds)
        return _expect(place, observation, Observation)

    async def play(self, observation: Observation) -> Trajectory:
        """Take turns from the first observation on."""
        timeout = asyncio.timeout(self._limits.max_episode_seconds)
        try:
            async with timeout:
                return await self._play(observation)
        except TimeoutError:
            if not timeout.expired():
                raise
            raise RolloutError(
                f"{self.name}, turn {len(self._turns)}: the episode of {type(self.env).__name__} took longer than "
                f"rollouts.max_episode_seconds={self._limits.max_episode_seconds:g}"
            ) from None

    async def _play(self, observation: Observation) -> Trajectory:
        while True:
            action = await self._policy(observation.tokens, observation.stop)
            self._unanswered = observation, action
            place = f"{self.name}, turn {len(self._turns)}: {type(self.env).__name__}.step"
            answer = await call_env(place, partial(self.env.step, action), self._limits.max_call_seconds)
            result = _expect(place, answer, StepResult)
            self._unanswered = None
            self._turns.append(Transition(observation, action, result.reward, result.metrics))
            if result.next_observation is None:
                self._over = True
                return Trajectory(self._turns)
            observation = result.next_observation
            cut = self._bound_reached(observation)
            if cut is not None:
                return Trajectory(self._turns, cut)

    def _bound_reached(self, observation: Observation) -> Cut | None:
        limits = self._limits
        if limits.max_turns is not None and len(self._turns) >= limits.max_turns:
            return "turns"
        if limits.max_episode_tokens is not None and len(observation.tokens) > limits.max_episode_tokens:
            return "tokens"
        return None

    def cut_short(self, cut: Cut) -> Trajectory:
        """What was played so far, when another seat of the game was cut short. An unanswered action earned nothing."""
        if self._over:
            return Trajectory(self._turns)
        if self._unanswered is not None:
            self._turns.append(Transition(*self._unanswered, 0.0, {}))
        return Trajectory(self._turns, cut)


def _expect(place: str, value: object, kind: type[T]) -> T:
    """An env's code is not always type-checked: what it forgot to return is named here, where it was asked."""
    if not isinstance(value, kind):
        raise RolloutError(f"{place} returned {type(value).__name__}, expected {kind.__name__}")
    return value
