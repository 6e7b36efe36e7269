"""Problems with checkable answers: one question, one assistant message, one grade."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import chz
from tinkery_core.config.checks import more_than
from tinkery_core.model import ModelConfig
from tinkery_core.workers import WorkerTimeout, run_in_worker

from tinkery_rl.types import Env, EnvGroupBuilder, Observation, StepResult

if TYPE_CHECKING:
    from tinkery_core.chat import Chat
    from tinkery_core.completers import Completion


@dataclass(frozen=True)
class Grade:
    """Whether an answer is right, and whether it has the form that was asked for."""

    correct: bool
    well_formed: bool


@chz.chz
class Problem(ABC):
    """A question whose answers can be graded."""

    @property
    @abstractmethod
    def question(self) -> str:
        """What the user says."""

    @abstractmethod
    def grade(self, answer: str) -> Grade:
        """Grade the whole assistant message.

        A grading that may take long, or without end, needs a bound: see `ProblemGroupBuilder.grade_seconds`.
        """

    @property
    def tags(self) -> Sequence[str]:
        """Names under which the metrics of problems like this one are averaged."""
        return ()


class ProblemEnv(Env):
    """Asks one question and grades the answer. The reward is 1 if right, less a penalty if malformed.

    An answer that the token limit cut off is neither right nor well formed, nor is one whose grading takes longer
    than `grade_seconds`. With that bound, the metric `grading_timeout` tells the share of those.
    """

    def __init__(
        self,
        problem: Problem,
        prompt: Observation,
        chat: Chat,
        format_penalty: float,
        grade_seconds: float | None = None,
    ) -> None:
        self.problem = problem
        self.prompt = prompt
        self.chat = chat
        self.format_penalty = format_penalty
        self.grade_seconds = grade_seconds

    async def initial_observation(self) -> Observation:
        return self.prompt

    async def step(self, action: Completion) -> StepResult:
        grade, timed_out = Grade(correct=False, well_formed=False), False
        if action.stop_reason != "length":
            try:
                grade = await self._grade(self.chat.parse(action.tokens, self.prompt.tokens))
            except WorkerTimeout:
                timed_out = True
        reward = float(grade.correct) - self.format_penalty * (not grade.well_formed)
        metrics = {"correct": float(grade.correct), "well_formed": float(grade.well_formed)}
        if self.grade_seconds is not None:
            metrics["grading_timeout"] = float(timed_out)
        return StepResult(reward, metrics=metrics)

    async def _grade(self, answer: str) -> Grade:
        if self.grade_seconds is None:
            return self.problem.grade(answer)
        return await run_in_worker(self.problem.grade, answer, seconds=self.grade_seconds)


@chz.chz
class ProblemGroupBuilder(EnvGroupBuilder):
    """Several attempts at one problem. The question is rendered once for all of them."""

    problem: Problem = chz.field(doc="what is asked")
    model: ModelConfig = chz.field(doc="whose chat format the question is asked in")
    num_envs: int = chz.field(doc="attempts")
    format_penalty: float = chz.field(default=0.0, doc="subtracted from the reward of a malformed answer")
    grade_seconds: float | None = chz.field(
        default=None,
        validator=more_than(0),
        doc="bound on one grading, which then runs in a process of its own; null grades at once, and is for "
        "gradings that take no time",
    )

    async def make_envs(self) -> Sequence[Env]:
        chat = self.model.load_chat()
        tokens = chat.render_prompt([{"role": "user", "content": self.problem.question}])
        prompt = Observation(tokens, chat.stop_tokens)
        return [
            ProblemEnv(self.problem, prompt, chat, self.format_penalty, self.grade_seconds)
            for _ in range(self.num_envs)
        ]

    def logging_tags(self) -> Sequence[str]:
        return self.problem.tags
