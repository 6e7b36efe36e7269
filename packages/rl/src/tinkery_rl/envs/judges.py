"""Judges: which of two answers to the same messages is the better one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import chz
from tinkery_core.chat import Message

from tinkery_rl.types import RLSetup

TIE = 0.5


class Judge(ABC):
    """Compares two answers. It is asked many things at once, and has to pickle."""

    @abstractmethod
    async def compare(self, messages: Sequence[Message], first: str, second: str) -> float:
        """The preference for the first answer to `messages`: 1 if it is better, 0 if the second is, 0.5 for a tie."""

    def accepts(self, messages: Sequence[Message], answer: str) -> bool:
        """Whether an answer may compete; one that may not loses without being judged. Empty ones may not."""
        del messages
        return bool(answer.strip())


@chz.chz
class JudgeBuilder(ABC):
    """Configuration of a judge."""

    @abstractmethod
    def __call__(self, setup: RLSetup) -> Judge:
        """Build the judge of a run."""


@dataclass(frozen=True)
class FunctionJudge(Judge):
    """Judges by a function of messages and answers, which stands in a module so that it pickles."""

    function: Callable[[Sequence[Message], str, str], float]

    async def compare(self, messages: Sequence[Message], first: str, second: str) -> float:
        return self.function(messages, first, second)


def prefer_shorter(messages: Sequence[Message], first: str, second: str) -> float:
    """The answer with fewer characters is the better one."""
    del messages
    return TIE if len(first) == len(second) else float(len(first) < len(second))


@chz.chz
class ShorterIsBetter(JudgeBuilder):
    """The shorter answer wins: a judge that costs nothing, to try things out with."""

    def __call__(self, setup: RLSetup) -> Judge:
        del setup
        return FunctionJudge(prefer_shorter)
