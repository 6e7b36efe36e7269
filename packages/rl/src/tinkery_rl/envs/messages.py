"""Environments in text: messages in, messages out. Here they become tokens, which are extended from turn to turn.

A complete environment, in which the policy has three guesses:

    class Guess(MessageEnv):
        def __init__(self, secret: int) -> None:
            self.secret, self.num_guesses = secret, 0

        async def initial_messages(self) -> Sequence[Message]:
            return [{"role": "user", "content": "Guess my number, from 1 to 9. Answer with a digit."}]

        async def step(self, message: Message) -> MessageStep:
            self.num_guesses += 1
            if message["content"] == str(self.secret):
                return MessageStep(reward=1.0)
            if self.num_guesses == 3:
                return MessageStep(reward=0.0)
            return MessageStep(reward=0.0, new_messages=[{"role": "user", "content": "No. Guess again."}])

    @chz.chz
    class GuessGroup(MessageGroupBuilder):
        secret: int

        async def make_message_env(self) -> MessageEnv:
            return Guess(self.secret)

A group of four attempts is `GuessGroup(secret=7, model=setup.model, num_envs=4)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import chz
from tinkery_core.model import ModelConfig

from tinkery_rl.types import Env, EnvGroupBuilder, Metrics, Observation, StepResult

if TYPE_CHECKING:
    from tinkery_core.chat import Chat, Message, ToolSpec
    from tinkery_core.completers import Completion


@dataclass(frozen=True)
class MessageStep:
    """The environment's answer to one message. No new messages means that the episode is over."""

    reward: float
    new_messages: Sequence[Message] = ()
    metrics: Metrics = field(default_factory=dict[str, float])


class MessageEnv(ABC):
    """One episode in text. It is discarded after its rollout."""

    @abstractmethod
    async def initial_messages(self) -> Sequence[Message]:
        """What the policy reads before its first message; at least one message."""

    @abstractmethod
    async def step(self, message: Message) -> MessageStep:
        """Answer the policy's message, which is whole: one that the token limit cuts off never gets here.

        New messages have any role but `assistant`: those are the policy's own.
        """

    @property
    def tools(self) -> Sequence[ToolSpec]:
        """What the policy is told of tools that it may call; see `tinkery_rl.envs.tool_env`."""
        return ()


class ChatEnv(Env):
    """A MessageEnv in the tokens of a chat format. What the policy sampled stays as it is: one episode, one datum.

    A message that the token limit cut off cannot be answered, as it is not finished: it ends the episode with
    `unfinished_reward`.
    """

    def __init__(self, env: MessageEnv, chat: Chat, unfinished_reward: float = 0.0) -> None:
        self.env = env
        self.chat = chat
        self.unfinished_reward = unfinished_reward
        self.prompt: list[int] = []

    async def initial_observation(self) -> Observation:
        messages = await self.env.initial_messages()
        if not messages:
            raise ValueError(f"{type(self.env).__name__}.initial_messages gave no messages")
        return self._observe(self.chat.render_prompt(messages, self.env.tools))

    async def step(self, action: Completion) -> StepResult:
        if action.stop_reason == "length":
            return StepResult(self.unfinished_reward)
        tools = self.env.tools
        step = await self.env.step(self.chat.parse_message(action.tokens, self.prompt, tools))
        if not step.new_messages:
            return StepResult(step.reward, metrics=step.metrics)
        if any(message["role"] == "assistant" for message in step.new_messages):
            raise ValueError(
                f"{type(self.env).__name__}.step gave a message of the assistant, whom the policy plays"
            )
        prompt = self.chat.extend(self.prompt, action.tokens, step.new_messages, tools)
        return StepResult(step.reward, self._observe(prompt), step.metrics)

    def _observe(self, prompt: list[int]) -> Observation:
        self.prompt = prompt
        return Observation(prompt, self.chat.stop_tokens)


@chz.chz
class MessageGroupBuilder(EnvGroupBuilder, ABC):
    """Several attempts at one task that is a MessageEnv."""

    model: ModelConfig = chz.field(doc="whose chat format the messages are written in")
    num_envs: int = chz.field(doc="attempts")
    unfinished_reward: float = chz.field(
        default=0.0, doc="reward of a message that ran into max_tokens, which ends the episode"
    )

    @abstractmethod
    async def make_message_env(self) -> MessageEnv:
        """One attempt."""

    async def make_envs(self) -> Sequence[Env]:
        chat = self.model.load_chat()
        return [
            ChatEnv(await self.make_message_env(), chat, self.unfinished_reward) for _ in range(self.num_envs)
        ]
