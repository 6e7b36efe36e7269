"""Environments in text: what becomes of messages on their way to tokens and back, and a training on them."""

import pickle
from collections.abc import Awaitable, Callable, Sequence

import anyio
import chz
import pytest
from tinkery_core.chat import Message
from tinkery_rl.config import RLConfig
from tinkery_rl.datums import split_sequences
from tinkery_rl.envs.messages import ChatEnv, MessageEnv, MessageGroupBuilder, MessageStep
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.rollouts import RolloutError, play_group
from tinkery_rl.transcripts import messages
from tinkery_rl.types import (
    EnvGroupBuilder,
    RLDataset,
    RLDatasetBuilder,
    RLDatasets,
    RLSetup,
    Trajectory,
    TrajectoryGroup,
)
from user_functions import TINY, saying

Configure = Callable[..., RLConfig]
Train = Callable[[RLConfig], Awaitable[list[dict[str, float]]]]


class Lesson(MessageEnv):
    """Three questions; each answer earns a tenth of its length, and is said back."""

    def __init__(self, opening: Sequence[Message]) -> None:
        self.opening = opening
        self.heard: list[Message] = []

    async def initial_messages(self) -> Sequence[Message]:
        return self.opening

    async def step(self, message: Message) -> MessageStep:
        self.heard.append(message)
        reward = len(message["content"]) / 10
        metrics = {"length": float(len(message["content"]))}
        if len(self.heard) == 3:
            return MessageStep(reward, metrics=metrics)
        if message["content"] == "impersonate":
            return MessageStep(reward, [{"role": "assistant", "content": "me too"}])
        again: list[Message] = [
            {"role": "system", "content": f"It said {message['content']}."},
            {"role": "user", "content": "And now?"},
        ]
        return MessageStep(reward, again, metrics)


@chz.chz
class LessonGroup(MessageGroupBuilder):
    opening: Sequence[Message] = ({"role": "user", "content": "What is 1 + 2?"},)

    async def make_message_env(self) -> MessageEnv:
        return Lesson(self.opening)


async def played(*answers: str, **changes: object) -> TrajectoryGroup:
    builder = chz.Blueprint(LessonGroup).apply({"model": TINY, "num_envs": 1, **changes}).make()
    with anyio.fail_after(60):
        group = (await play_group(builder, saying(*answers), "here", RolloutConfig())).group
    assert group is not None
    return group


def text_of(trajectory: Trajectory) -> list[str]:
    return [message["content"] for message in messages(trajectory, TINY.load_chat().decode)]


async def test_an_episode_of_three_messages_is_one_datum_of_what_was_sampled() -> None:
    (trajectory,) = (await played("3", "seven", "ok")).trajectories_G
    assert text_of(trajectory) == [
        "<｜begin▁of▁sentence｜><｜User｜>What is 1 + 2?<｜Assistant｜>",
        "3<｜end▁of▁sentence｜>",
        "<｜User｜>It said 3.<｜User｜>And now?<｜Assistant｜>",
        "seven<｜end▁of▁sentence｜>",
        "<｜User｜>It said seven.<｜User｜>And now?<｜Assistant｜>",
        "ok<｜end▁of▁sentence｜>",
    ]
    (sequence,) = split_sequences(trajectory)
    sampled = [
        token for token, is_sampled in zip(sequence.tokens_T, sequence.sampled_T, strict=True) if is_sampled
    ]
    assert sampled == [token for transition in trajectory.transitions for token in transition.action.tokens]
    assert [transition.reward for transition in trajectory.transitions] == [0.1, 0.5, 0.2]
    assert [transition.metrics["length"] for transition in trajectory.transitions] == [1, 5, 2]


async def test_a_message_that_was_cut_off_ends_the_episode_unheard() -> None:
    (trajectory,) = (await played("3", "sev…", unfinished_reward=-0.5)).trajectories_G
    assert [transition.reward for transition in trajectory.transitions] == [0.1, -0.5]
    assert trajectory.transitions[-1].metrics == {}
    assert (await played("sev…")).rewards_G == [0.0]


async def test_the_env_hears_text_without_special_tokens() -> None:
    chat = TINY.load_chat()
    lesson = Lesson([{"role": "user", "content": "What is 1 + 2?"}])
    env = ChatEnv(lesson, chat)
    observation = await env.initial_observation()
    await env.step(await saying("3")(observation.tokens))
    assert lesson.heard == [{"role": "assistant", "content": "3"}]


async def test_what_an_env_cannot_say_is_an_error_that_names_it() -> None:
    with pytest.raises(RolloutError, match=r"Lesson\.initial_messages gave no messages"):
        await played("3", opening=())
    with pytest.raises(
        RolloutError, match=r"Lesson\.step gave a message of the assistant, whom the policy plays"
    ):
        await played("impersonate")


def test_a_group_pickles() -> None:
    builder = LessonGroup(model=TINY, num_envs=2)
    assert pickle.loads(pickle.dumps(builder)) == builder


class Lessons(RLDataset):
    def __init__(self, setup: RLSetup) -> None:
        self.setup = setup

    def __len__(self) -> int:
        return 2

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        return [LessonGroup(model=self.setup.model, num_envs=self.setup.group_size) for _ in range(2)]


@chz.chz
class LessonBuilder(RLDatasetBuilder):
    def __call__(self, setup: RLSetup) -> RLDatasets:
        return RLDatasets(Lessons(setup), None)


async def test_a_model_is_trained_on_messages(configure: Configure, trained: Train) -> None:
    lines = await trained(configure(env=LessonBuilder()))
    assert [line["step"] for line in lines] == [0, 1, 2]
    for line in lines[:-1]:
        assert line["env/all/total_episodes"] == line["optim/num_datums"] == 16
        assert line["env/all/turns_per_episode"] > 1
        assert line["env/all/length"] > 0
        assert abs(line["optim/kl_sample_train"]) < 1e-4
