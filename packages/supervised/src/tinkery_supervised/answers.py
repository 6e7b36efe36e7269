"""Answers sampled to held-out questions: what the model says before, during and after the training."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tinkery_core.completers import SamplingCompleter
from tinkery_core.folder import ROLLOUTS
from tinkery_core.jsonl import Record, read_lines

if TYPE_CHECKING:
    import tinker
    from tinkery_core.chat import Chat
    from tinkery_core.run import Run

    from tinkery_supervised.config import TrainerConfig
    from tinkery_supervised.types import Batch, Example

NUM_SHOWN = 4


@dataclass(frozen=True)
class Question:
    """Tokens up to an answer, and the answer that the data has."""

    prompt: list[int]
    expected: list[int]


def last_question(example: Example) -> Question | None:
    """The last run of targets as an answer to all before it; None if the example is cut or has nothing before."""
    end = len(example.tokens_T)
    while end and not example.weights_T[end - 1]:
        end -= 1
    start = end
    while start and example.weights_T[start - 1]:
        start -= 1
    if example.num_cut or not start:
        return None
    return Question(example.tokens_T[:start], example.tokens_T[start:end])


@dataclass(frozen=True)
class Answer:
    """What the model answered to a question: a line of rollouts.jsonl, with the step."""

    question: str
    answer: str
    expected: str
    stop_reason: str

    def record(self, step: int) -> Record:
        return {"step": step, **asdict(self)}


def exact_match(answers: Sequence[Answer]) -> dict[str, float]:
    """The share of answers that are, letter by letter, those of the data."""
    if not answers:
        return {}
    return {"test/exact_match": sum(answer.answer == answer.expected for answer in answers) / len(answers)}


class HeldOutAnswers:
    """Samples the last answers of the first held-out examples, with the same seeds each time."""

    def __init__(self, config: TrainerConfig, chat: Chat, test: asyncio.Task[list[Batch]]) -> None:
        self.config = config
        self.chat = chat
        self.test = test

    async def __call__(self, policy: tinker.SamplingClient) -> list[Answer]:
        config = self.config
        completer = SamplingCompleter(
            policy, seed=config.seed, max_tokens=config.max_tokens, temperature=config.temperature
        )
        questions = await self.questions()
        stop = self.chat.stop_tokens
        completions = await asyncio.gather(*[completer(question.prompt, stop) for question in questions])
        return [
            Answer(
                self.chat.decode(question.prompt),
                self.chat.parse(completion.tokens, question.prompt),
                self.chat.parse(question.expected, question.prompt),
                completion.stop_reason,
            )
            for question, completion in zip(questions, completions, strict=True)
        ]

    async def questions(self) -> list[Question]:
        """The questions that are asked; they are the same in each evaluation."""
        examples = [example for batch in await self.test for example in batch.examples_D]
        questions = [question for example in examples if (question := last_question(example)) is not None]
        return questions[: self.config.num_answers]


def before_and_after(run: Run) -> str:
    """The first few questions with the answers of the first and of the last evaluation, from rollouts.jsonl; nothing,
    if no answers were sampled or kept.
    """
    records = list(read_lines(run.dir / ROLLOUTS))
    if not records:
        return ""
    first, last = ([r for r in records if r["step"] == records[end]["step"]] for end in (0, -1))
    lines = ["Held-out questions, and the answers before and after the training:"]
    for before, after in list(zip(first, last, strict=True))[:NUM_SHOWN]:
        lines += [f"  {after['question']}"]
        lines += [f"    before    {before['answer']}", f"    after     {after['answer']}"]
        lines += [f"    expected  {after['expected']}"]
    return "\n".join(lines)
