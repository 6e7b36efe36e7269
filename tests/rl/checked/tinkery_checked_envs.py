"""Environments for tests of check-env: a sound one, and others that break one promise each."""

import asyncio
import random
import threading
import time
from collections.abc import Sequence
from typing import cast

import chz
from tinkery_core.chat import Chat
from tinkery_core.completers import Completion
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig
from tinkery_core.run_service import RunService
from tinkery_rl.types import (
    Env,
    EnvGroupBuilder,
    GroupReward,
    Observation,
    RLDataset,
    RLDatasetBuilder,
    RLDatasets,
    RLSetup,
    StepResult,
    Trajectory,
)

released = threading.Event()


class SoundEnv(Env):
    """Two questions; a token in the answer with an even number earns a half."""

    reward_bounds: tuple[float, float] = (0, 1)

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.prompt: list[int] = []
        self.turn = 0

    async def initial_observation(self) -> Observation:
        return self.observe(self.chat.render_prompt([{"role": "user", "content": "What is 1 + 2?"}]))

    async def step(self, action: Completion) -> StepResult:
        self.turn += 1
        reward = float(any(token % 2 == 0 for token in action.tokens)) / 2
        if self.turn == 2:
            return StepResult(reward, metrics={"turns": 2.0})
        prompt = self.chat.extend(self.prompt, action.tokens, [{"role": "user", "content": "And 2 + 2?"}])
        return StepResult(reward, self.observe(prompt))

    def observe(self, prompt: list[int]) -> Observation:
        self.prompt = prompt
        return Observation(prompt, self.chat.stop_tokens)


@chz.chz
class Sound(EnvGroupBuilder):
    """Nothing is wrong with it."""

    model: ModelConfig
    num_envs: int = 2

    def env(self) -> type[SoundEnv]:
        return SoundEnv

    async def make_envs(self) -> Sequence[Env]:
        return [self.env()(self.model.load_chat()) for _ in range(self.num_envs)]


@chz.chz
class NoEnvs(Sound):
    async def make_envs(self) -> Sequence[Env]:
        return []


@chz.chz
class OtherThanEnvs(Sound):
    async def make_envs(self) -> Sequence[Env]:
        return cast(Sequence[Env], ["an env"])


@chz.chz
class Raises(Sound):
    class Broken(SoundEnv):
        async def step(self, action: Completion) -> StepResult:
            if self.turn == 1:
                raise KeyError("missing piece")
            return await super().step(action)

    def env(self) -> type[SoundEnv]:
        return self.Broken


@chz.chz
class ReturnsNothing(Sound):
    class Broken(SoundEnv):
        async def step(self, action: Completion) -> StepResult:
            return cast(StepResult, None)

    def env(self) -> type[SoundEnv]:
        return self.Broken


@chz.chz
class NotAsync(Sound):
    def env(self) -> type[SoundEnv]:
        def step(env: Env, action: Completion) -> StepResult:
            return StepResult(0.0)

        return type("Broken", (SoundEnv,), {"step": step})


@chz.chz
class Hangs(Sound):
    class Broken(SoundEnv):
        async def step(self, action: Completion) -> StepResult:
            await asyncio.Event().wait()
            return StepResult(0.0)

    def env(self) -> type[SoundEnv]:
        return self.Broken


hung: list[str] = []


@chz.chz
class HangsAtLast(Sound):
    async def cleanup(self) -> None:
        hung.append("cleanup")
        await asyncio.Event().wait()


@chz.chz
class HangsAndBlocks(Sound):
    class Broken(SoundEnv):
        async def step(self, action: Completion) -> StepResult:
            released.wait()
            return StepResult(0.0)

    def env(self) -> type[SoundEnv]:
        return self.Broken


@chz.chz
class Blocks(Sound):
    class Broken(SoundEnv):
        async def step(self, action: Completion) -> StepResult:
            time.sleep(0.3)  # noqa: ASYNC251
            return await super().step(action)

    num_envs: int = 1

    def env(self) -> type[SoundEnv]:
        return self.Broken


@chz.chz
class Endless(Sound):
    class Broken(SoundEnv):
        async def step(self, action: Completion) -> StepResult:
            self.turn = 0
            return await super().step(action)

    def env(self) -> type[SoundEnv]:
        return self.Broken


class FixedPrompt(SoundEnv):
    """One turn after a prompt of its own."""

    tokens: tuple[int, ...] = ()

    async def initial_observation(self) -> Observation:
        return Observation(list(self.tokens))

    async def step(self, action: Completion) -> StepResult:
        return StepResult(0.0)


@chz.chz
class NoTokens(Sound):
    def env(self) -> type[SoundEnv]:
        return FixedPrompt


@chz.chz
class ForeignTokens(Sound):
    class Broken(FixedPrompt):
        tokens = (3, 512)

    def env(self) -> type[SoundEnv]:
        return self.Broken


@chz.chz
class TooLong(Sound):
    class Broken(FixedPrompt):
        tokens = (3,) * 512

    def env(self) -> type[SoundEnv]:
        return self.Broken


@chz.chz
class RendersAnew(Sound):
    class Broken(SoundEnv):
        async def step(self, action: Completion) -> StepResult:
            result = await super().step(action)
            if result.next_observation is None:
                return result
            prompt = self.chat.render_prompt([{"role": "user", "content": "And 2 + 2?"}])
            return StepResult(0.0, self.observe(prompt))

    def env(self) -> type[SoundEnv]:
        return self.Broken


@chz.chz
class NotANumber(Sound):
    class Broken(SoundEnv):
        async def step(self, action: Completion) -> StepResult:
            result = await super().step(action)
            return StepResult(0.0, result.next_observation, {"score": float("nan")})

    def env(self) -> type[SoundEnv]:
        return self.Broken


@chz.chz
class TooGenerous(Sound):
    async def compute_group_rewards(
        self, trajectories_G: Sequence[Trajectory], envs_G: Sequence[Env]
    ) -> Sequence[GroupReward]:
        return [GroupReward(5.0)] * len(envs_G)


@chz.chz
class OneRewardForAll(Sound):
    async def compute_group_rewards(
        self, trajectories_G: Sequence[Trajectory], envs_G: Sequence[Env]
    ) -> Sequence[GroupReward]:
        return [GroupReward()]


@chz.chz
class Moody(Sound):
    """The mood is that of the builder, drawn when it is made, and goes with it when it is pickled."""

    mood: float = chz.field(default_factory=random.random)

    async def compute_group_rewards(
        self, trajectories_G: Sequence[Trajectory], envs_G: Sequence[Env]
    ) -> Sequence[GroupReward]:
        return [GroupReward(metrics={"mood": self.mood})] * len(envs_G)


made: dict[int, Sequence[Env]] = {}


@chz.chz
class UsedTwice(Sound):
    async def make_envs(self) -> Sequence[Env]:
        if id(self) not in made:
            made[id(self)] = await super().make_envs()
        for env in made[id(self)]:
            assert isinstance(env, SoundEnv)
            env.turn = 0
        return made[id(self)]


@chz.chz
class Remembers(Sound):
    """Counts the groups that it made."""

    groups: list[int] = chz.field(default_factory=list[int])

    async def compute_group_rewards(
        self, trajectories_G: Sequence[Trajectory], envs_G: Sequence[Env]
    ) -> Sequence[GroupReward]:
        self.groups.append(1)
        return [GroupReward(metrics={"groups": float(len(self.groups))})] * len(envs_G)


@chz.chz
class HoldsALock(Sound):
    lock: object = chz.field(default_factory=threading.Lock)


@chz.chz
class Judged(Sound):
    async def compute_group_rewards(
        self, trajectories_G: Sequence[Trajectory], envs_G: Sequence[Env]
    ) -> Sequence[GroupReward]:
        await RunService().sampling_client("tinkery/tiny")
        return []


class Question:
    """Forgets itself when it is pickled."""

    def __init__(self, text: str = "nothing") -> None:
        self.text = text

    def __reduce__(self) -> tuple[type["Question"], tuple[()]]:
        return Question, ()


@chz.chz
class Forgets(Sound):
    question: Question = chz.field(default_factory=lambda: Question("What is 3 + 4?"))

    async def make_envs(self) -> Sequence[Env]:
        text = self.question.text

        class Asks(FixedPrompt):
            async def initial_observation(self) -> Observation:
                return Observation(self.chat.render_prompt([{"role": "user", "content": text}]))

        return [Asks(self.model.load_chat())]


@chz.chz
class CleansUpTooMuch(Sound):
    """Releases a container that is only there once its envs are."""

    containers: list[str] = chz.field(default_factory=list[str])

    async def make_envs(self) -> Sequence[Env]:
        self.containers.append("container")
        return await super().make_envs()

    async def cleanup(self) -> None:
        self.containers.pop()


class Sounds(RLDataset):
    """A question a group, counted on from the seed."""

    def __init__(self, setup: RLSetup) -> None:
        self.setup = setup

    def __len__(self) -> int:
        return 3

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        if not 0 <= index < 3:
            raise IndexError(index)
        return [self.group(10 * self.setup.seed + index)]

    def group(self, number: int) -> EnvGroupBuilder:
        return Numbered(model=self.setup.model, number=number)


@chz.chz
class Numbered(Sound):
    number: int

    async def make_envs(self) -> Sequence[Env]:
        text = f"What is {self.number} + 1?"

        class Asks(SoundEnv):
            async def initial_observation(self) -> Observation:
                return self.observe(self.chat.render_prompt([{"role": "user", "content": text}]))

        return [Asks(self.model.load_chat())]


@chz.chz
class SoundDataset(RLDatasetBuilder):
    def __call__(self, setup: RLSetup) -> RLDatasets:
        return RLDatasets(Sounds(setup), Sounds(setup))


@chz.chz
class Refuses(RLDatasetBuilder):
    def __call__(self, setup: RLSetup) -> RLDatasets:
        raise UserError("no_data=true: there is nothing to train on")


@chz.chz
class Advances(RLDatasetBuilder):
    """Each batch is the next one, whatever its index."""

    class Broken(Sounds):
        num_asked = 0

        def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
            self.num_asked += 1
            return [self.group(10 * self.setup.seed + self.num_asked)]

    def __call__(self, setup: RLSetup) -> RLDatasets:
        return RLDatasets(self.Broken(setup), None)


@chz.chz
class InOrder(RLDatasetBuilder):
    """The order in which batches are first asked for decides what they are."""

    class Broken(Sounds):
        def __init__(self, setup: RLSetup) -> None:
            super().__init__(setup)
            self.asked: list[int] = []

        def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
            if index < 2 and index not in self.asked:
                self.asked.append(index)
            place = self.asked.index(index) if index in self.asked else index
            return [self.group(10 * self.setup.seed + place)]

    def __call__(self, setup: RLSetup) -> RLDatasets:
        return RLDatasets(self.Broken(setup), None)


@chz.chz
class TooShort(RLDatasetBuilder):
    class Broken(Sounds):
        def __len__(self) -> int:
            return 5

    def __call__(self, setup: RLSetup) -> RLDatasets:
        return RLDatasets(self.Broken(setup), None)


@chz.chz
class OneSeed(RLDatasetBuilder):
    class Broken(Sounds):
        def group(self, number: int) -> EnvGroupBuilder:
            return super().group(number % 10)

    def __call__(self, setup: RLSetup) -> RLDatasets:
        return RLDatasets(self.Broken(setup), None)


class NotChz(EnvGroupBuilder):
    """Has no decorator."""

    async def make_envs(self) -> Sequence[Env]:
        return []
