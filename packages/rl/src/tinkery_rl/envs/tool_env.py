"""Tasks with tools: the policy calls them as it likes, then answers; the conversation gets a reward.

A message that calls no tool is the answer. Whatever goes wrong in a call is told to the policy as its result:
an unknown tool, arguments that do not fit, an error, a call that takes too long.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

import chz
from tinkery_core.chat import Message, ToolCall, ToolSpec
from tinkery_core.config.checks import at_least, more_than
from tinkery_core.errors import UserError

from tinkery_rl.envs.bounded import Function, TookTooLong, call_within, check_can_run
from tinkery_rl.envs.messages import MessageEnv, MessageGroupBuilder, MessageStep
from tinkery_rl.envs.tools import Tool, ToolResult
from tinkery_rl.rollouts import gather
from tinkery_rl.types import Metrics


@dataclass(frozen=True)
class Reward:
    """What a conversation earns, with metrics of its own."""

    reward: float
    metrics: Metrics = field(default_factory=dict[str, float])


RewardFunction: TypeAlias = Callable[[Sequence[Message]], float | Reward | Awaitable[float | Reward]]
"""Grades a conversation whose last message is the policy's answer."""


@chz.chz
class ToolLimits:
    """Bounds on an episode with tools."""

    max_turns: int = chz.field(
        default=8, validator=at_least(1), doc="messages of the policy; the last one has to be the answer"
    )
    tool_seconds: float = chz.field(
        default=30.0, validator=more_than(0), doc="bound on a call, after which it is an error to the policy"
    )
    grade_seconds: float | None = chz.field(
        default=None,
        validator=more_than(0),
        doc="bound on grading an answer, which earns nothing beyond; with one, a `def` reward runs in a process of "
        "its own. null grades at once, and is for rewards that are computed in no time",
    )


class ToolEnv(MessageEnv):
    """One episode. An episode that ends without an answer, as its turns are used up, earns `unfinished_reward`.

    Metrics of each turn are `tool_calls` and `tool_errors`; of the last one `answered`, and `grading_timeout` if
    grading has a bound.
    """

    def __init__(
        self,
        prompt: Sequence[Message],
        tools: Sequence[Tool],
        reward: RewardFunction,
        limits: ToolLimits,
        unfinished_reward: float = 0.0,
    ) -> None:
        self.messages = list(prompt)
        self.reward = reward
        self.limits = limits
        self.unfinished_reward = unfinished_reward
        self._tools = {tool.name: tool for tool in tools}
        self._num_turns = 0
        if len(self._tools) < len(tools):
            raise UserError(f"Two tools have the same name, of: {', '.join(tool.name for tool in tools)}")
        if limits.grade_seconds is not None:
            check_can_run(reward, "reward function")

    @property
    def tools(self) -> Sequence[ToolSpec]:
        return [tool.spec for tool in self._tools.values()]

    async def initial_messages(self) -> Sequence[Message]:
        return self.messages

    async def step(self, message: Message) -> MessageStep:
        self.messages.append(message)
        self._num_turns += 1
        calls = message.get("tool_calls", ())
        metrics = {"tool_calls": float(len(calls)), "tool_errors": 0.0}
        if not calls:
            earned = await self._grade()
            return MessageStep(earned.reward, metrics={**metrics, "answered": 1.0, **earned.metrics})
        if self._num_turns == self.limits.max_turns:
            return MessageStep(self.unfinished_reward, metrics={**metrics, "answered": 0.0})
        results = await gather([self._call(call) for call in calls])
        metrics["tool_errors"] = float(sum(result.is_error for result in results))
        answers = [_as_message(call, result) for call, result in zip(calls, results, strict=True)]
        self.messages += answers
        return MessageStep(0.0, answers, metrics)

    async def _call(self, call: ToolCall) -> ToolResult:
        if "error" in call:
            return ToolResult(f"Error: {call['error']}", is_error=True)
        tool = self._tools.get(call["name"])
        if tool is None:
            known = ", ".join(self._tools)
            return ToolResult(f"Error: there is no tool {call['name']}, only: {known}", is_error=True)
        return await tool.call(call["arguments"], self.limits.tool_seconds)

    async def _grade(self) -> Reward:
        seconds = self.limits.grade_seconds
        if seconds is None:
            earned = self.reward(self.messages)
            return _as_reward(await earned if inspect.isawaitable(earned) else earned)
        try:
            earned = _as_reward(await call_within(seconds, self.reward, self.messages))
        except TookTooLong:
            return Reward(0.0, {"grading_timeout": 1.0})
        return Reward(earned.reward, {**earned.metrics, "grading_timeout": 0.0})


def _as_message(call: ToolCall, result: ToolResult) -> Message:
    return {
        "role": "tool",
        "content": result.text,
        "tool_call_id": call["id"],
        "name": call["name"] or "unknown",
    }


def _as_reward(earned: object) -> Reward:
    if isinstance(earned, Reward):
        return earned
    if isinstance(earned, int | float):
        return Reward(float(earned))
    raise TypeError(f"a reward function gave {earned!r}, and a number or a Reward is expected")


@chz.chz
class ToolGroupBuilder(MessageGroupBuilder):
    """Several attempts at one task with tools that keep no state.

    Where tools share something that an attempt changes, such as a sandbox, derive from MessageGroupBuilder and
    give each ToolEnv the `async def` methods of an object of its own.
    """

    messages: Sequence[Message] = chz.field(doc="what the policy reads first")
    tools: Sequence[Function] = chz.field(doc="what it may call: functions with types and a docstring")
    reward: RewardFunction = chz.field(doc="grades a conversation that ends with an answer")
    limits: ToolLimits = chz.field(default_factory=ToolLimits, doc="turns and times")

    async def make_message_env(self) -> MessageEnv:
        tools = [_tool(function) for function in self.tools]
        return ToolEnv(self.messages, tools, self.reward, self.limits, self.unfinished_reward)


_tool = cache(Tool)
