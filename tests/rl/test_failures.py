"""Environments that fail, in any method and any way: what is said, retried, left out, counted and cleaned up."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import chz
import pytest
import tinker
from hypothesis import given
from hypothesis import strategies as st
from tinkery_core.completers import Completion, Stop
from tinkery_core.errors import ServiceError, UserError
from tinkery_rl.metrics import failure_metrics
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.rollouts import RolloutError, play_batch, play_group
from tinkery_rl.types import Env, EnvGroupBuilder, GroupReward, Observation, StepResult, Trajectory

Trouble: TypeAlias = Callable[[], Awaitable[None]]

METHODS = ["make_envs", "initial_observation", "step", "compute_group_rewards", "cleanup"]

NOT_REACHED = RolloutConfig()


class Log:
    """What happened in one test."""

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter()
        self.cleanups: Counter[str] = Counter()


log = Log()


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    log.__init__()


async def fine() -> None:
    return


async def raises() -> None:
    raise RuntimeError("out of order")


async def hangs() -> None:
    await asyncio.Event().wait()


async def ignores_its_cancellation() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()  # until the test's own loop ends


async def cancels_itself() -> None:
    raise asyncio.CancelledError


async def exits() -> None:
    raise SystemExit(3)


class Fickle(Env):
    """Two turns; in trouble in one method of its own."""

    def __init__(self, group: "FickleGroup", is_ill: bool) -> None:
        self.group = group
        self.is_ill = is_ill
        self.turn = 0

    async def initial_observation(self) -> Observation:
        await self.trouble("initial_observation")
        return Observation([1])

    async def step(self, action: Completion) -> StepResult:
        self.turn += 1
        if self.turn == 2:
            await self.trouble("step")
            return StepResult(1.0)
        return StepResult(0.0, Observation([1, *action.tokens, 1]))

    async def trouble(self, method: str) -> None:
        if self.is_ill and self.group.where == method:
            await self.group.trouble()


@chz.chz
class FickleGroup(EnvGroupBuilder):
    """Its members `ill[k]` are in trouble in attempt `k`; in the group's own methods, any number of them is."""

    name: str = "fickle"
    size: int = 3
    where: str = "step"
    trouble: Trouble = raises
    ill: Sequence[Sequence[int]] = ()
    is_game: bool = False

    @property
    def members_interact(self) -> bool:
        return self.is_game

    def now_ill(self) -> Sequence[int]:
        attempt = log.attempts[self.name] - 1
        return self.ill[attempt] if attempt < len(self.ill) else ()

    async def maybe(self, method: str) -> None:
        if self.where == method and self.now_ill():
            await self.trouble()

    async def make_envs(self) -> Sequence[Env]:
        log.attempts[self.name] += 1
        await self.maybe("make_envs")
        return [Fickle(self, member in self.now_ill()) for member in range(self.size)]

    async def compute_group_rewards(
        self, trajectories_G: Sequence[Trajectory], envs_G: Sequence[Env]
    ) -> Sequence[GroupReward]:
        await self.maybe("compute_group_rewards")
        return [GroupReward()] * len(envs_G)

    async def cleanup(self) -> None:
        log.cleanups[self.name] += 1
        await self.maybe("cleanup")


async def policy(prompt: list[int], stop: Stop | None = None) -> Completion:
    return Completion([7], [-0.5], "stop")


def place(method: str) -> str:
    """What a failure of member 1 in a method begins with."""
    return {
        "initial_observation": "here, member 1: Fickle.initial_observation",
        "step": "here, member 1, turn 1: Fickle.step",
    }.get(method, f"here: FickleGroup.{method}")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (raises, "raised RuntimeError: out of order"),
        (hangs, "took longer than rollouts.max_call_seconds=0.05"),
        (ignores_its_cancellation, "took longer than rollouts.max_call_seconds=0.05"),
        (cancels_itself, "raised CancelledError, though nobody cancelled it"),
        (exits, "raised SystemExit: 3"),
    ],
)
async def test_trouble_anywhere_is_named_and_cleaned_up(
    method: str, trouble: Trouble, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinkery_rl.calls.GRACE_S", 0.01)
    group = FickleGroup(where=method, trouble=trouble, ill=[[1]])
    with pytest.raises(RolloutError) as raised:
        await play_group(group, policy, "here", RolloutConfig(max_call_seconds=0.05))
    assert str(raised.value) == f"{place(method)} {message}"
    assert log.cleanups["fickle"] == 1


async def test_an_episode_that_takes_too_long_is_named_with_its_turn() -> None:
    group = FickleGroup(trouble=hangs, ill=[[1]])
    with pytest.raises(RolloutError) as raised:
        await play_group(group, policy, "here", RolloutConfig(max_episode_seconds=0.05))
    assert str(raised.value) == (
        "here, member 1, turn 1: the episode of Fickle took longer than rollouts.max_episode_seconds=0.05"
    )


@pytest.mark.parametrize("error", [UserError("other model"), ServiceError("gone"), tinker.TinkerError("no")])
@pytest.mark.parametrize("among_others", [False, True])
@pytest.mark.parametrize("method", METHODS)
async def test_what_is_no_fault_of_the_env_ends_the_run_at_once(
    method: str, among_others: bool, error: Exception
) -> None:
    async def refuses() -> None:
        raise ExceptionGroup("several", [KeyError("k"), error]) if among_others else error

    group = FickleGroup(where=method, trouble=refuses, ill=[[1]] * 3)
    with pytest.raises(type(error)) as raised:
        await play_batch([group], policy, "here", RolloutConfig(retries=2, min_alive=0.1))
    assert raised.value is error
    assert log.cleanups["fickle"] == log.attempts["fickle"] == 1


async def test_a_group_that_fails_is_played_again_with_fresh_envs() -> None:
    result = await play_group(FickleGroup(ill=[[1], [0]]), policy, "here", RolloutConfig(retries=2))
    assert result.group is not None and len(result.group.trajectories_G) == 3
    assert result.num_retries == 2
    assert result.failures == [
        "here, member 1, turn 1: Fickle.step raised RuntimeError: out of order",
        "here, member 0, turn 1: Fickle.step raised RuntimeError: out of order",
    ]
    assert log.attempts["fickle"] == log.cleanups["fickle"] == 3


async def test_a_group_that_never_comes_through_says_how_often_it_was_tried() -> None:
    with pytest.raises(RolloutError) as raised:
        await play_group(FickleGroup(ill=[[1]] * 3), policy, "here", RolloutConfig(retries=2))
    assert str(raised.value) == (
        "here, member 1, turn 1: Fickle.step raised RuntimeError: out of order\n"
        "All attempts at the group failed (rollouts.retries=2)."
    )


async def test_failed_members_are_left_out_while_enough_are_alive() -> None:
    limits = RolloutConfig(min_alive=0.5)
    groups = [
        FickleGroup(name="one dead", size=4, ill=[[2]]),
        FickleGroup(name="most dead", size=4, ill=[[0, 1, 3]]),
        FickleGroup(name="sound", size=4),
        FickleGroup(name="dead game", size=4, ill=[[2]], is_game=True),
        FickleGroup(name="not made", where="make_envs", ill=[[0]]),
        FickleGroup(name="not begun", where="initial_observation", size=4, ill=[[0, 1]]),
    ]
    results = await play_batch(groups, policy, "here", limits)
    sizes = [result.group and len(result.group.trajectories_G) for result in results]
    assert sizes == [3, None, 4, None, None, 2]
    assert failure_metrics(results) == {
        "rollouts/num_failures": 1 + 3 + 0 + 1 + 1 + 2,
        "rollouts/num_retries": 0,
        "rollouts/num_members_left_out": 1 + 2,
        "rollouts/num_groups_left_out": 3,
    }
    assert log.cleanups == {group.name: 1 for group in groups}


async def test_a_failing_cleanup_costs_the_group_unless_something_failed_before() -> None:
    limits = RolloutConfig(min_alive=0.5)
    results = await play_batch(
        [FickleGroup(), FickleGroup(name="untidy", where="cleanup", ill=[[0]])], policy, "here", limits
    )
    assert results[1].group is None
    assert results[1].failures == ["here, group 1: FickleGroup.cleanup raised RuntimeError: out of order"]


async def test_a_batch_of_which_nothing_is_left_quotes_the_first_failure() -> None:
    groups = [FickleGroup(name=name, ill=[[0, 1, 2]]) for name in "ab"]
    with pytest.raises(RolloutError) as raised:
        await play_batch(groups, policy, "batch 3", RolloutConfig(min_alive=0.5))
    assert str(raised.value) == (
        "batch 3: no group came through. "
        "First, batch 3, group 0, member 0, turn 1: Fickle.step raised RuntimeError: out of order"
    )


@given(
    size=st.integers(1, 6),
    retries=st.integers(0, 3),
    min_alive=st.sampled_from([0.01, 0.25, 0.34, 0.5, 0.7, 0.99, 1.0]),
    is_game=st.booleans(),
    where=st.sampled_from(METHODS),
    data=st.data(),
)
async def test_for_any_pattern_of_failures_the_counts_add_up_and_each_attempt_is_cleaned_up(
    size: int, retries: int, min_alive: float, is_game: bool, where: str, data: st.DataObject
) -> None:
    log.__init__()
    ill = data.draw(st.lists(st.sets(st.integers(0, size - 1)).map(sorted), max_size=retries + 1))
    group = FickleGroup(size=size, where=where, ill=ill, is_game=is_game)
    padded = [*ill, *[[]] * (retries + 1 - len(ill))]
    num_attempts = next((k + 1 for k, members in enumerate(padded) if not members), retries + 1)
    last = padded[num_attempts - 1]
    per_member = where in ("initial_observation", "step") and not is_game
    num_alive = size - len(last) if per_member else size if not last else 0
    limits = RolloutConfig(retries=retries, min_alive=min_alive)
    if num_alive < min_alive * size and min_alive == 1:
        with pytest.raises(RolloutError, match="out of order"):
            await play_group(group, policy, "here", limits)
    else:
        result = await play_group(group, policy, "here", limits)
        assert result.num_retries == num_attempts - 1
        if num_alive < min_alive * size:
            assert result.group is None and result.num_members_left_out == 0
        else:
            assert result.group is not None
            assert len(result.group.rewards_G) == num_alive == size - result.num_members_left_out
            assert result.num_failures == num_attempts - 1 + len(last)
    assert log.attempts["fickle"] == log.cleanups["fickle"] == num_attempts


async def test_no_more_groups_than_allowed_are_played_at_once() -> None:
    playing = most = 0

    async def slow_policy(prompt: list[int], stop: Stop | None = None) -> Completion:
        nonlocal playing, most
        playing += 1
        most = max(most, playing)
        await asyncio.sleep(0)
        playing -= 1
        return await policy(prompt, stop)

    groups = [FickleGroup(size=1) for _ in range(7)]
    results = await play_batch(groups, slow_policy, "here", RolloutConfig(max_concurrent_groups=2))
    assert len(results) == 7 and most == 2


@pytest.mark.parametrize(
    ("limits", "num_turns", "cut"),
    [
        (RolloutConfig(max_turns=1), 1, "turns"),
        (RolloutConfig(max_turns=2), 2, None),
        (RolloutConfig(max_episode_tokens=2), 1, "tokens"),
        (RolloutConfig(max_episode_tokens=3), 2, None),
    ],
)
async def test_a_bound_cuts_an_episode_short_and_keeps_it(
    limits: RolloutConfig, num_turns: int, cut: str | None
) -> None:
    result = await play_group(FickleGroup(), policy, "here", limits)
    assert result.group is not None and result.num_failures == 0
    for trajectory in result.group.trajectories_G:
        assert (len(trajectory.transitions), trajectory.cut) == (num_turns, cut)
        assert math.isfinite(trajectory.reward)


async def test_a_cancellation_from_outside_waits_for_cleanup() -> None:
    cleaning = asyncio.Event()
    may_end = asyncio.Event()

    async def slow_cleanup() -> None:
        cleaning.set()
        await may_end.wait()
        log.cleanups["to the end"] += 1

    group = FickleGroup(where="cleanup", trouble=slow_cleanup, ill=[[0]])
    playing = asyncio.create_task(play_group(group, policy, "here", NOT_REACHED))
    await cleaning.wait()
    playing.cancel()
    asyncio.get_running_loop().call_later(0.01, may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert log.cleanups["to the end"] == 1


class Seat(Env):
    """Seats take turns for ever: a step returns when it is the seat's turn again. The last one never has a turn."""

    def __init__(self, seat: int, turns: Sequence[asyncio.Event]) -> None:
        self.seat = seat
        self.turns = turns

    async def initial_observation(self) -> Observation:
        await self.turns[self.seat].wait()
        return Observation([1])

    async def step(self, action: Completion) -> StepResult:
        self.turns[self.seat].clear()
        self.turns[1 - self.seat].set()
        await self.turns[self.seat].wait()
        return StepResult(0.5, Observation([1]))


@chz.chz
class SeatGroup(EnvGroupBuilder):
    @property
    def members_interact(self) -> bool:
        return True

    async def make_envs(self) -> Sequence[Env]:
        turns = [asyncio.Event() for _ in range(3)]
        turns[0].set()
        return [Seat(seat, turns) for seat in range(3)]


async def test_a_bound_on_one_seat_ends_the_game_for_all() -> None:
    """Seat 0 is cut when its second turn is answered; seat 1 waits for the answer to its second one, seat 2 for any."""
    result = await play_group(SeatGroup(), policy, "here", RolloutConfig(max_turns=2))
    assert result.group is not None
    rewards = [[t.reward for t in trajectory.transitions] for trajectory in result.group.trajectories_G]
    assert rewards == [[0.5, 0.5], [0.5, 0.0], []]
    assert [trajectory.cut for trajectory in result.group.trajectories_G] == ["turns"] * 3
