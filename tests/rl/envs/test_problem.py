"""Problems: what an answer earns, and graders that take too long."""

import anyio
import chz
import pytest
from tinkery_rl.envs.problem import ProblemGroupBuilder
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.rollouts import RolloutError, play_batch, play_group
from tinkery_rl.types import TrajectoryGroup
from user_functions import TINY, Sum, saying


async def graded(*answers: str, grade_seconds: float | None) -> TrajectoryGroup:
    builder = ProblemGroupBuilder(
        problem=Sum(), model=TINY, num_envs=len(answers), format_penalty=0.5, grade_seconds=grade_seconds
    )
    with anyio.fail_after(60):
        group = (await play_group(builder, saying(*answers), "here", RolloutConfig())).group
    assert group is not None
    return group


def metrics_of(group: TrajectoryGroup) -> list[dict[str, float]]:
    return [dict(trajectory.transitions[0].metrics) for trajectory in group.trajectories_G]


async def test_an_answer_earns_what_it_is_worth() -> None:
    group = await graded("5", "6", "five", "5…", grade_seconds=None)
    assert group.rewards_G == [1.0, 0.0, -0.5, -0.5]
    assert metrics_of(group)[0] == {"correct": 1.0, "well_formed": 1.0}
    assert metrics_of(group)[3] == {"correct": 0.0, "well_formed": 0.0}


async def test_an_answer_whose_grading_takes_too_long_is_wrong() -> None:
    group = await graded("5", "bomb", "5…", grade_seconds=1.0)
    assert group.rewards_G == [1.0, -0.5, -0.5]
    assert metrics_of(group) == [
        {"correct": 1.0, "well_formed": 1.0, "grading_timeout": 0.0},
        {"correct": 0.0, "well_formed": 0.0, "grading_timeout": 1.0},
        {"correct": 0.0, "well_formed": 0.0, "grading_timeout": 0.0},
    ]


async def test_a_grader_that_raises_fails_as_it_would_without_a_process() -> None:
    for grade_seconds in (None, 60.0):
        with pytest.raises(RolloutError, match=r"ProblemEnv.step raised ValueError: cannot grade a bug"):
            await graded("bug", grade_seconds=grade_seconds)


async def test_other_rollouts_go_on_while_a_grader_is_stuck() -> None:
    ended: list[str] = []
    quick_is_done = anyio.Event()

    @chz.chz
    class Named(ProblemGroupBuilder):
        name: str

        async def cleanup(self) -> None:
            ended.append(self.name)
            quick_is_done.set()

    groups = [
        Named(problem=Sum(), model=TINY, num_envs=1, grade_seconds=seconds, name=name)
        for name, seconds in (("stuck", 3600), ("quick", 60))
    ]
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(play_batch, groups, saying("bomb", "5"), "here", RolloutConfig())
            await quick_is_done.wait()
            assert ended == ["quick"]
            tasks.cancel_scope.cancel()
    assert ended == ["quick", "stuck"]
