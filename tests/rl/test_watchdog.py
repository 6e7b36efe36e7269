"""Environments that block the event loop are interrupted and named; nothing else is."""

import asyncio
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import chz
import pytest
from tinkery_core.completers import Completion, Stop
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.rollouts import RolloutError, play_group
from tinkery_rl.types import Env, EnvGroupBuilder, GroupReward, Observation, StepResult, Trajectory
from tinkery_rl.watchdog import watchdog

SECONDS = 0.1
LIMITS = RolloutConfig(max_call_seconds=SECONDS)

Block: TypeAlias = Callable[[], Awaitable[None]]


def sleep(seconds: float) -> None:
    """Plain sleep, hidden from the rule that forbids it in coroutines."""
    time.sleep(seconds)


async def sleeps() -> None:
    sleep(1000)


async def computes() -> None:
    while True:
        pass


async def computes_and_ignores_errors() -> None:
    while True:
        try:
            sleep(1000)
        except Exception:
            continue


async def blocks_in_a_task_of_its_own() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleeps())


class Blocking(Env):
    def __init__(self, group: "BlockingGroup") -> None:
        self.group = group

    async def initial_observation(self) -> Observation:
        await self.group.maybe("initial_observation")
        return Observation([1])

    async def step(self, action: Completion) -> StepResult:
        await self.group.maybe("step")
        return StepResult(1.0)


@chz.chz
class BlockingGroup(EnvGroupBuilder):
    where: str
    block: Block

    async def maybe(self, method: str) -> None:
        if method == self.where:
            await self.block()

    async def make_envs(self) -> Sequence[Env]:
        await self.maybe("make_envs")
        return [Blocking(self)]

    async def compute_group_rewards(
        self, trajectories_G: Sequence[Trajectory], envs_G: Sequence[Env]
    ) -> Sequence[GroupReward]:
        await self.maybe("compute_group_rewards")
        return [GroupReward()]

    async def cleanup(self) -> None:
        await self.maybe("cleanup")


async def policy(prompt: list[int], stop: Stop | None = None) -> Completion:
    return Completion([7], [-0.5], "stop")


@pytest.mark.parametrize(
    "block", [sleeps, computes, computes_and_ignores_errors, blocks_in_a_task_of_its_own]
)
@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("make_envs", "here: BlockingGroup.make_envs"),
        ("initial_observation", "here, member 0: Blocking.initial_observation"),
        ("step", "here, member 0, turn 0: Blocking.step"),
        ("compute_group_rewards", "here: BlockingGroup.compute_group_rewards"),
        ("cleanup", "here: BlockingGroup.cleanup"),
    ],
)
async def test_a_call_that_blocks_the_loop_is_interrupted_and_named(
    where: str, place: str, block: Block
) -> None:
    with watchdog(SECONDS), pytest.raises(RolloutError) as raised:
        await play_group(BlockingGroup(where=where, block=block), policy, "here", LIMITS)
    assert str(raised.value) == (
        f"{place} took longer than rollouts.max_call_seconds=0.1, and let nothing else run meanwhile: "
        "await what takes long, or give it to tinkery_core.workers.run_in_worker"
    )


async def test_what_takes_long_outside_of_environments_is_left_alone() -> None:
    with watchdog(SECONDS):
        sleep(5 * SECONDS)
        result = await play_group(BlockingGroup(where="", block=sleeps), policy, "here", LIMITS)
    assert result.num_failures == 0


async def test_it_takes_the_alarm_only_while_it_runs() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with watchdog(SECONDS):
        assert signal.getsignal(signal.SIGALRM) != before
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


async def test_an_alarm_of_somebody_else_is_left_to_him() -> None:
    signal.setitimer(signal.ITIMER_REAL, 1000)
    before = signal.getsignal(signal.SIGALRM)
    try:
        with watchdog(SECONDS):
            assert signal.getsignal(signal.SIGALRM) == before
            assert signal.getitimer(signal.ITIMER_REAL)[0] > 900
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_in_other_threads_there_is_none() -> None:
    async def main() -> None:
        with watchdog(SECONDS):
            played.append(await play_group(BlockingGroup(where="", block=sleeps), policy, "here", LIMITS))

    played: list[object] = []
    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    thread.join(60)
    assert len(played) == 1
