"""Rollouts against a scripted policy: order, tokens, failures that name their env, and cleanup."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import chz
import pytest
from tinkery_core.completers import Completion, Stop
from tinkery_core.errors import UserError
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.rollouts import RolloutError, gather, play_batch, play_group
from tinkery_rl.types import Env, EnvGroupBuilder, GroupReward, Observation, StepResult, Trajectory

LIMITS = RolloutConfig()


async def echo(prompt: list[int], stop: Stop | None = None) -> Completion:
    """A policy that repeats the last token of its prompt."""
    del stop
    return Completion([prompt[-1]], [-0.5], "stop")


@dataclass
class Counting(Env):
    """Counts up from `start` for three turns; fails in turn `fails_at`."""

    start: int
    fails_at: int | None = None
    error: Exception = field(default_factory=lambda: KeyError("missing piece"))
    seen: list[int] = field(default_factory=list[int])

    async def initial_observation(self) -> Observation:
        self.seen = [self.start]
        return Observation(self.seen)

    async def step(self, action: Completion) -> StepResult:
        await asyncio.sleep(0)
        turn = len(self.seen) // 2
        if turn == self.fails_at:
            raise self.error
        self.seen = [*self.seen, *action.tokens, action.tokens[-1] + 1]
        return StepResult(1.0, Observation(self.seen) if turn < 2 else None, {"turn": float(turn)})


cleaned: list[str] = []


@pytest.fixture(autouse=True)
def no_cleanups() -> None:
    cleaned.clear()


@chz.chz
class CountingGroup(EnvGroupBuilder):
    name: str = "counting"
    num_envs: int = 2
    fails_at: int | None = None
    refuses: bool = False
    fails_to_grade: bool = False

    async def make_envs(self) -> Sequence[Env]:
        if self.refuses:
            raise RuntimeError("no room")
        envs = [Counting(10 * member) for member in range(self.num_envs)]
        return [*envs[:-1], Counting(10 * self.num_envs - 10, self.fails_at)]

    async def compute_group_rewards(
        self, trajectories_G: Sequence[Trajectory], envs_G: Sequence[Env]
    ) -> Sequence[GroupReward]:
        if self.fails_to_grade:
            raise ZeroDivisionError("nobody played")
        return [GroupReward(float(member)) for member in range(len(envs_G))]

    async def cleanup(self) -> None:
        cleaned.append(self.name)

    def logging_tags(self) -> Sequence[str]:
        return [self.name]


async def test_a_group_keeps_the_order_of_its_members_turns_and_tokens() -> None:
    group = (await play_group(CountingGroup(), echo, "here", LIMITS)).group
    assert group is not None
    first, second = group.trajectories_G
    assert [t.observation.tokens for t in first.transitions] == [[0], [0, 0, 1], [0, 0, 1, 1, 2]]
    assert [t.action.tokens for t in second.transitions] == [[10], [11], [12]]
    assert [t.metrics["turn"] for t in second.transitions] == [0, 1, 2]
    assert group.rewards_G == [3.0, 4.0]
    assert group.tags == ["counting"]
    assert cleaned == ["counting"]


async def test_a_batch_keeps_the_order_of_its_groups() -> None:
    results_P = await play_batch([CountingGroup(name=name) for name in "abc"], echo, "batch 0", LIMITS)
    assert [result.group and result.group.tags for result in results_P] == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            CountingGroup(name="broken", fails_at=1),
            "batch 7, group 1, member 1, turn 1: Counting.step raised KeyError: 'missing piece'",
        ),
        (
            CountingGroup(name="broken", refuses=True),
            "batch 7, group 1: CountingGroup.make_envs raised RuntimeError: no room",
        ),
        (
            CountingGroup(name="broken", fails_to_grade=True),
            "batch 7, group 1: CountingGroup.compute_group_rewards raised ZeroDivisionError: nobody played",
        ),
    ],
)
async def test_a_failure_names_its_place_and_all_groups_clean_up(broken: CountingGroup, message: str) -> None:
    with pytest.raises(RolloutError) as raised:
        await play_batch([CountingGroup(name="sound"), broken], echo, "batch 7", LIMITS)
    assert str(raised.value) == message
    assert sorted(cleaned) == ["broken", "sound"]


async def test_what_an_env_forgot_to_return_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forget(self: Counting, *args: object) -> None: ...

    monkeypatch.setattr(Counting, "step", forget)
    with pytest.raises(RolloutError, match=r"turn 0: Counting\.step returned NoneType, expected StepResult$"):
        await play_group(CountingGroup(), echo, "here", LIMITS)
    monkeypatch.setattr(Counting, "initial_observation", forget)
    with pytest.raises(RolloutError, match=r"initial_observation returned NoneType, expected Observation$"):
        await play_group(CountingGroup(), echo, "here", LIMITS)


async def test_an_empty_group_is_a_failure_too() -> None:
    with pytest.raises(RolloutError, match=r"here: EmptyGroup.make_envs made no envs"):
        await play_group(EmptyGroup(), echo, "here", LIMITS)


@chz.chz
class EmptyGroup(CountingGroup):
    async def make_envs(self) -> Sequence[Env]:
        return []


async def test_rewards_that_nobody_could_learn_from_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def rewards(self: CountingGroup, *args: object) -> Sequence[GroupReward]:
        return [GroupReward(float("nan"))] * self.num_envs

    async def too_few(self: CountingGroup, *args: object) -> Sequence[GroupReward]:
        return [GroupReward()]

    monkeypatch.setattr(CountingGroup, "compute_group_rewards", rewards)
    with pytest.raises(RolloutError, match=r"^here: rewards have to be finite, got \[nan, nan\]$"):
        await play_group(CountingGroup(), echo, "here", LIMITS)
    monkeypatch.setattr(CountingGroup, "compute_group_rewards", too_few)
    with pytest.raises(RolloutError, match="compute_group_rewards gave 1 rewards to 2 members"):
        await play_group(CountingGroup(), echo, "here", LIMITS)


async def test_what_the_user_can_correct_is_passed_on_as_it_is() -> None:
    class Refusing(Counting):
        async def initial_observation(self) -> Observation:
            raise UserError("choose another model")

    @chz.chz
    class RefusingGroup(CountingGroup):
        async def make_envs(self) -> Sequence[Env]:
            return [Refusing(0)]

    with pytest.raises(UserError, match="choose another model"):
        await play_group(RefusingGroup(), echo, "here", LIMITS)


async def test_a_failing_policy_ends_the_batch_as_itself() -> None:
    async def broken(prompt: list[int], stop: Stop | None = None) -> Completion:
        raise ConnectionError("lost")

    with pytest.raises(ConnectionError, match="lost"):
        await play_batch([CountingGroup(), CountingGroup()], broken, "batch 0", LIMITS)
    assert cleaned == ["counting", "counting"]


async def test_first_actions_wait_for_the_slowest_env_so_that_they_arrive_together() -> None:
    """Equal prompts that arrive together become one request, however long each env takes to start."""

    class Slow(Counting):
        async def initial_observation(self) -> Observation:
            await asyncio.sleep(0.01)
            return await super().initial_observation()

    @chz.chz
    class MixedGroup(CountingGroup):
        async def make_envs(self) -> Sequence[Env]:
            return [Counting(0), Slow(0)]

    waiting: list[asyncio.Future[None]] = []

    async def policy(prompt: list[int], stop: Stop | None = None) -> Completion:
        arrival = asyncio.get_running_loop().create_future()
        waiting.append(arrival)
        asyncio.get_running_loop().call_soon(arrival.set_result, None)
        await arrival
        arrived_together.append(len(waiting))
        return await echo(prompt, stop)

    arrived_together: list[int] = []
    await play_group(MixedGroup(num_envs=2), policy, "here", LIMITS)
    assert arrived_together[:2] == [2, 2]


async def test_gather_waits_for_the_cleanup_of_what_it_cancels() -> None:
    log: list[str] = []

    async def cleans_up_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            log.append("clean")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await gather([cleans_up_slowly(), fails()])
    assert log == ["clean"]
