"""What users write, for tests: tools, rewards, problems, and a policy that says what it is told to say."""

import asyncio
import os
import time
from collections.abc import Sequence
from enum import Enum
from typing import Annotated

import chz
from pydantic import BaseModel, Field
from tinkery_core.chat import Message
from tinkery_core.completers import Completion, Stop, TokenCompleter
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig
from tinkery_rl.envs.problem import Grade, Problem
from tinkery_rl.envs.tool_env import Reward

TINY = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3")


def saying(*answers: str) -> TokenCompleter:
    """A policy whose n-th message is the n-th of these; one that ends with … is cut off there."""
    chat = TINY.load_chat()
    rest = list(answers)

    async def policy(prompt: list[int], stop: Stop | None = None) -> Completion:
        answer = rest.pop(0)
        tokens = chat.encode(answer.removesuffix("…"))
        if answer.endswith("…"):
            return Completion(tokens, [-1.0] * len(tokens), "length")
        tokens += chat.stop_tokens
        return Completion(tokens, [-1.0] * len(tokens), "stop")

    return policy


def call(name: str, arguments: str) -> str:
    """How the tiny model's chat format writes a call."""
    return f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{arguments}\n```<｜tool▁call▁end｜>"


def calls(*written: str) -> str:
    return f"<｜tool▁calls▁begin｜>{''.join(written)}<｜tool▁calls▁end｜>"


class Unit(Enum):
    CM = "cm"
    INCH = "inch"


class Parcel(BaseModel):
    """A parcel."""

    weight: float
    fragile: bool = False


def add(a: int, b: Annotated[int, Field(description="what is added")] = 3) -> int:
    """Adds two numbers."""
    return a + b


async def ship(
    parcels: list[Parcel], unit: Unit = Unit.CM, *, note: str | None = None, to: Sequence[str] = ("home",)
) -> dict[str, object]:
    """Ships parcels.

    All at once.
    """
    return {"weight": sum(parcel.weight for parcel in parcels), "unit": unit, "note": note, "to": to}


def divide(a: float, b: float) -> float:
    """Divides."""
    return a / b


def process() -> int:
    """The process that it runs in."""
    return os.getpid()


def spin() -> None:
    """Never ends, and lets nothing else run."""
    while True:
        pass


def crash() -> None:
    """Ends its process."""
    os._exit(3)


def refuse() -> None:
    """Not without a key."""
    raise UserError("set a key")


async def wait() -> None:
    """Never ends."""
    await asyncio.Event().wait()


async def times_out() -> None:
    """Has a bound of its own."""
    raise TimeoutError("no answer from the shop")


class Notebook:
    """Tools of an object of its own for each episode."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def write(self, line: str) -> int:
        """Writes a line, and says how many there are."""
        self.lines.append(line)
        return len(self.lines)

    def forget(self) -> None:
        """Forgets all."""
        self.lines.clear()


def ends_with_five(messages: Sequence[Message]) -> float:
    """1 if the answer is 5."""
    return float(messages[-1]["content"] == "5")


def spinning(messages: Sequence[Message]) -> float:
    """Never ends."""
    while True:
        pass


def in_another_process(messages: Sequence[Message]) -> Reward:
    """Where it is graded, and how many messages there are."""
    return Reward(0.5, {"process": float(os.getpid()), "num_messages": float(len(messages))})


async def later(messages: Sequence[Message]) -> Reward:
    """Takes a turn of the event loop."""
    await asyncio.sleep(0)
    return Reward(0.25, {"judged": 1.0})


@chz.chz
class Sum(Problem):
    """What is 2 + 3? An answer of `bomb` takes an hour to grade, `bug` cannot be graded."""

    @property
    def question(self) -> str:
        return "What is 2 + 3?"

    def grade(self, answer: str) -> Grade:
        if answer == "bomb":
            time.sleep(3600)
        if answer == "bug":
            raise ValueError("cannot grade a bug")
        return Grade(correct=answer == "5", well_formed=answer.isdecimal())
