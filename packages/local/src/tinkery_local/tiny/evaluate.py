"""Measures what a model can do: the share of held-out instances of each task that it answers exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from tinkery_local.engine import Engine, SampleRequest, SampleResult
from tinkery_local.tiny.chat_format import EOS, encode_prompt
from tinkery_local.tiny.corpus import TASKS
from tinkery_local.tiny.corpus.task import Conversation, Task

MAX_ANSWER = 48


@dataclass(frozen=True)
class Score:
    """Accuracies of one task on its held-out instances: greedy, and sampled at temperature 1."""

    task: str
    greedy: float
    sampled: float


def evaluate(
    folder: Path, tasks: Sequence[Task] = TASKS, num_instances: int = 400, seed: int = 0
) -> list[Score]:
    """Scores a model folder with the bundled tokenizer's chat format, on the same instances for equal seeds."""
    engine = Engine(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    scores: list[Score] = []
    for task in tasks:
        rng = np.random.default_rng(seed)
        held_out = [task.draw(rng, held_out=True) for _ in range(num_instances)]
        greedy, sampled = (
            accuracy(engine, tokenizer, held_out, temperature, seed) for temperature in (0.0, 1.0)
        )
        scores.append(Score(task.name, greedy, sampled))
    return scores


def accuracy(
    engine: Engine, tokenizer: Tokenizer, conversations: Sequence[Conversation], temperature: float, seed: int
) -> float:
    """The share of conversations whose last answer the model gives exactly, and ends."""
    answers = sample_answers(engine, tokenizer, conversations, temperature, seed)
    return sum(a == c.answer + EOS for a, c in zip(answers, conversations, strict=True)) / len(conversations)


def sample_answers(
    engine: Engine, tokenizer: Tokenizer, conversations: Sequence[Conversation], temperature: float, seed: int
) -> list[str]:
    """One answer to each conversation's prompt, with the token that ends it."""
    tickets = [
        engine.sampler.submit(
            SampleRequest(
                snapshot=engine.base,
                prompt=np.array(encode_prompt(tokenizer, conversation.prompt), np.int32),
                max_tokens=MAX_ANSWER,
                temperature=temperature,
                seed=seed + index,
            )
        )
        for index, conversation in enumerate(conversations)
    ]
    results: dict[int, SampleResult] = {}
    while engine.sampler.busy:
        for finished in engine.sampler.step():
            if not isinstance(finished.outcome, SampleResult):
                raise finished.outcome
            results[finished.ticket] = finished.outcome
    return [
        tokenizer.decode(results[ticket].sequences[0].tokens.tolist(), skip_special_tokens=False)
        for ticket in tickets
    ]


def table(scores: Sequence[Score]) -> str:
    """Scores as the lines of a Markdown table."""
    rows = [f"| {score.task} | {score.greedy:.3f} | {score.sampled:.3f} |" for score in scores]
    return "\n".join(["| held-out | greedy | sampled |", "|---|---|---|", *rows])
