"""Episodes with tools: calls and results on their way to tokens and back, ends, rewards, and a training."""

import asyncio
import os
import pickle
from collections.abc import Awaitable, Callable, Sequence

import anyio
import chz
import pytest
from tinkery_core.chat import Message
from tinkery_core.errors import UserError
from tinkery_rl.config import RLConfig
from tinkery_rl.datums import split_sequences
from tinkery_rl.envs.messages import MessageEnv, MessageGroupBuilder
from tinkery_rl.envs.tool_env import Reward, ToolEnv, ToolGroupBuilder, ToolLimits
from tinkery_rl.envs.tools import Tool
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.rollouts import RolloutError, play_group
from tinkery_rl.transcripts import messages
from tinkery_rl.types import EnvGroupBuilder, RLDataset, RLDatasetBuilder, RLDatasets, RLSetup, Trajectory
from user_functions import (
    TINY,
    Notebook,
    add,
    call,
    calls,
    divide,
    ends_with_five,
    in_another_process,
    later,
    saying,
    spinning,
    wait,
)

Configure = Callable[..., RLConfig]
Train = Callable[[RLConfig], Awaitable[list[dict[str, float]]]]

QUESTION: Message = {"role": "user", "content": "What is 2 + 3?"}
FIVE = calls(call("add", '{"a": 2}'))


def group_of(num_envs: int = 1, **changes: object) -> ToolGroupBuilder:
    fields: dict[str, object] = {
        "messages": (QUESTION,),
        "tools": (add, divide, wait),
        "reward": ends_with_five,
        "model": TINY,
        "num_envs": num_envs,
        "unfinished_reward": -0.5,
    }
    return chz.Blueprint(ToolGroupBuilder).apply(fields | changes).make()


async def played(builder: MessageGroupBuilder, *answers: str) -> Trajectory:
    with anyio.fail_after(60):
        group = (await play_group(builder, saying(*answers), "here", RolloutConfig())).group
    assert group is not None
    return group.trajectories_G[0]


def said(trajectory: Trajectory, turn: int) -> str:
    """What the env added before a turn."""
    return messages(trajectory, TINY.load_chat().decode)[2 * turn]["content"]


async def test_results_of_calls_extend_what_was_sampled_and_the_answer_is_graded() -> None:
    trajectory = await played(group_of(), "I add." + FIVE, "5")
    assert len(trajectory.transitions) == 2
    assert said(trajectory, 0).startswith(
        "<｜begin▁of▁sentence｜>You can call these tools:\n" + '{"name": "add"'
    )
    assert said(trajectory, 0).endswith("<｜User｜>What is 2 + 3?<｜Assistant｜>")
    assert said(trajectory, 1) == (
        "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>5<｜tool▁output▁end｜><｜tool▁outputs▁end｜>"
    )
    assert len(list(split_sequences(trajectory))) == 1
    assert [transition.reward for transition in trajectory.transitions] == [0.0, 1.0]
    assert [transition.metrics for transition in trajectory.transitions] == [
        {"tool_calls": 1.0, "tool_errors": 0.0},
        {"tool_calls": 0.0, "tool_errors": 0.0, "answered": 1.0},
    ]


async def test_whatever_goes_wrong_in_a_call_is_told_and_counted() -> None:
    many = calls(
        call("add", '{"a": 2}'),
        call("subtract", "{}"),
        call("add", '{"a": "two"}'),
        call("add", "two"),
        call("divide", '{"a": 1, "b": 0}'),
        call("wait", ""),
    )
    trajectory = await played(group_of(limits=ToolLimits(tool_seconds=1.0)), many, "6")
    told = said(trajectory, 1).removesuffix("<｜tool▁output▁end｜><｜tool▁outputs▁end｜>")
    told = told.removeprefix("<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>")
    assert told.split("<｜tool▁output▁end｜><｜tool▁output▁begin｜>") == [
        "5",
        "Error: there is no tool subtract, only: add, divide, wait",
        "Error: a: Input should be a valid integer, unable to parse string as an integer",
        "Error: the arguments are not a JSON object",
        "Error: ZeroDivisionError: float division by zero",
        "Error: wait took longer than 1 s",
    ]
    assert trajectory.transitions[0].metrics == {"tool_calls": 6.0, "tool_errors": 5.0}
    assert trajectory.reward == 0.0


async def test_calls_of_one_message_run_side_by_side() -> None:
    both = asyncio.Barrier(2)

    async def meet(name: str) -> str:
        """Waits for another call."""
        await both.wait()
        return name

    trajectory = await played(
        group_of(tools=(meet,)), calls(call("meet", '{"name": "a"}'), call("meet", '{"name": "b"}')), "5"
    )
    assert "a<｜tool▁output▁end｜><｜tool▁output▁begin｜>b<" in said(trajectory, 1)


async def test_an_episode_without_an_answer_earns_what_is_set_for_that() -> None:
    trajectory = await played(group_of(limits=ToolLimits(max_turns=2)), FIVE, FIVE)
    assert [transition.reward for transition in trajectory.transitions] == [0.0, -0.5]
    assert trajectory.transitions[-1].metrics == {"tool_calls": 1.0, "tool_errors": 0.0, "answered": 0.0}
    assert (await played(group_of(), FIVE, "5…")).reward == -0.5


async def test_a_reward_may_carry_metrics_wait_or_run_in_a_process() -> None:
    trajectory = await played(group_of(reward=later), "5")
    assert trajectory.reward == 0.25
    assert trajectory.transitions[0].metrics["judged"] == 1.0
    bounded = ToolLimits(grade_seconds=60.0)
    trajectory = await played(group_of(reward=in_another_process, limits=bounded), FIVE, "5")
    assert trajectory.reward == 0.5
    metrics = trajectory.transitions[-1].metrics
    assert metrics["process"] != os.getpid()
    assert metrics["num_messages"] == 4
    assert metrics["grading_timeout"] == 0.0


@pytest.mark.parametrize("reward", [spinning, "never"])
async def test_an_answer_whose_grading_takes_too_long_earns_nothing(reward: object) -> None:
    async def never(messages: Sequence[Message]) -> float:
        await asyncio.Event().wait()
        return 1.0

    bounded = ToolLimits(grade_seconds=0.5)
    trajectory = await played(group_of(reward=never if reward == "never" else reward, limits=bounded), "5")
    assert trajectory.reward == 0.0
    assert trajectory.transitions[0].metrics["grading_timeout"] == 1.0


async def test_what_is_no_reward_is_an_error() -> None:
    def praise(messages: Sequence[Message]) -> object:
        return "good"

    del praise.__annotations__["return"]  # else chz would not take it
    with pytest.raises(
        RolloutError, match="a reward function gave 'good', and a number or a Reward is expected"
    ):
        await played(group_of(reward=praise), "5")


@chz.chz
class NotebookGroup(MessageGroupBuilder):
    """Each attempt has a notebook of its own, and is to write as many lines as it can in three turns."""

    async def make_message_env(self) -> MessageEnv:
        notebook = Notebook()

        def reward(messages: Sequence[Message]) -> Reward:
            return Reward(float(len(notebook.lines)), {"lines": float(len(notebook.lines))})

        return ToolEnv([QUESTION], [Tool(notebook.write)], reward, ToolLimits(max_turns=3))


async def test_each_episode_may_have_tools_with_a_memory_of_its_own() -> None:
    write = calls(call("write", '{"line": "one"}'), call("write", '{"line": "two"}'))
    for _ in range(2):
        trajectory = await played(NotebookGroup(model=TINY, num_envs=1), write, write, "done")
        assert trajectory.reward == 4.0


async def test_tools_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="Two tools have the same name, of: add, divide, add"):
        await played(group_of(tools=(add, divide, add)), "5")


async def test_a_reward_that_has_to_run_in_a_process_has_to_be_found_there() -> None:
    def local(messages: Sequence[Message]) -> float:
        return 1.0

    with pytest.raises(UserError, match=r"The reward function test_a_reward\S+local of "):
        await played(group_of(reward=local, limits=ToolLimits(grade_seconds=1.0)), "5")


def test_a_group_pickles() -> None:
    assert pickle.loads(pickle.dumps(group_of())) == group_of()


CALLED: Message = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "call_0", "name": "add", "arguments": {"a": 2, "b": 2}}],
}
RESULT: Message = {"role": "tool", "content": "4", "tool_call_id": "call_0", "name": "add"}


class Sums(RLDataset):
    """A conversation that goes on after a call. The tiny model answers; calling is beyond it."""

    def __init__(self, setup: RLSetup) -> None:
        self.setup = setup

    def __len__(self) -> int:
        return 2

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        again: Message = {"role": "user", "content": f"What is {index} + 3?"}
        messages = (QUESTION, CALLED, RESULT, again)
        return [
            group_of(self.setup.group_size, messages=messages, tools=(add,), reward=brevity) for _ in range(2)
        ]


def brevity(messages: Sequence[Message]) -> float:
    return -float(len(messages[-1]["content"]))


@chz.chz
class SumsBuilder(RLDatasetBuilder):
    def __call__(self, setup: RLSetup) -> RLDatasets:
        return RLDatasets(Sums(setup), None)


async def test_a_model_is_trained_on_a_task_with_tools(configure: Configure, trained: Train) -> None:
    lines = await trained(configure(env=SumsBuilder()))
    assert [line["step"] for line in lines] == [0, 1, 2]
    for line in lines[:-1]:
        assert line["env/all/total_episodes"] == 16
        assert line["env/all/tool_calls"] == line["env/all/tool_errors"] == 0
        assert line["env/all/answered"] == 1
        assert line["optim/num_datums"] > 0
        assert abs(line["optim/kl_sample_train"]) < 1e-4
