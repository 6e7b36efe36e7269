"""Problems with checkable answers: one question, one assistant message, one grade."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import chz
from tinkery_core.model import ModelConfig

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
        """Grade the whole assistant message."""

    @property
    def tags(self) -> Sequence[str]:
        """Names under which the metrics of problems like this one are averaged."""
        return ()


class ProblemEnv(Env):
    """Asks one question and grades the answer. The reward is 1 if right, less a penalty if malformed.

    An answer that the token limit cut off is neither right nor well formed.
    """

    def __init__(self, problem: Problem, prompt: Observation, chat: Chat, format_penalty: float) -> None:
        self.problem = problem
        self.prompt = prompt
        self.chat = chat
        self.format_penalty = format_penalty

    async def initial_observation(self) -> Observation:
        return self.prompt

    async def step(self, action: Completion) -> StepResult:
        if action.stop_reason == "length":
            grade = Grade(correct=False, well_formed=False)
        else:
            grade = self.problem.grade(self.chat.parse(action.tokens))
        reward = float(grade.correct) - self.format_penalty * (not grade.well_formed)
        metrics = {"correct": float(grade.correct), "well_formed": float(grade.well_formed)}
        return StepResult(reward, metrics=metrics)


@chz.chz
class ProblemGroupBuilder(EnvGroupBuilder):
    """Several attempts at one problem. The question is rendered once for all of them."""

    problem: Problem
    model: ModelConfig
    num_envs: int
    format_penalty: float

    async def make_envs(self) -> Sequence[Env]:
        chat = self.model.load_chat()
        tokens = chat.render_prompt([{"role": "user", "content": self.problem.question}])
        prompt = Observation(tokens, chat.stop_tokens)
        return [ProblemEnv(self.problem, prompt, chat, self.format_penalty) for _ in range(self.num_envs)]

    def logging_tags(self) -> Sequence[str]:
        return self.problem.tags
