"""An evaluator that samples nothing: how likely the policy finds given answers."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import chz

from tinkery_core.chat import Chat, Message
from tinkery_core.config.values import is_list, is_mapping
from tinkery_core.errors import ServiceError, UserError
from tinkery_core.evaluators import EvaluationSetup, Evaluator, EvaluatorBuilder

if TYPE_CHECKING:
    import tinker

    from tinkery_core.model import ModelConfig

ROLES = ("system", "user", "assistant", "tool")


@chz.chz
class NLLEvaluator(EvaluatorBuilder):
    """Negative log-likelihood of what the assistant says in the chats of a file."""

    file: str = chz.field(
        doc='JSON lines, {"messages": [{"role": …, "content": …}, …]} or, for a question and its answer, '
        '{"prompt": …, "completion": …}'
    )

    def __call__(self, setup: EvaluationSetup) -> Evaluator:
        """Raises UserError if there is no such file, or if a row of it is no chat with an answer."""
        key, path = f"{setup.key}.file", Path(self.file).expanduser()
        if not path.is_file():
            raise UserError(f"{key}={self.file}: there is no such file. Expected a file of JSON lines.")
        return _NLL(_read_chats(path, key), setup.model, setup.prefix)


def _read_chats(path: Path, key: str) -> list[list[Message]]:
    """The chats of a file. Raises UserError with the line of the first row that is none."""
    chats: list[list[Message]] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.isspace():
                continue
            try:
                chats.append(_parse(json.loads(line)))
            except ValueError as error:  # that of json is one
                raise UserError(
                    f"{key}: {path} line {number}: {error}.\n"
                    'Expected {"messages": [{"role": "user", "content": "…"}, …]} with an assistant among them, or '
                    '{"prompt": "…", "completion": "…"}.'
                ) from None
    if not chats:
        raise UserError(f"{key}: {path} has no rows.")
    return chats


def _parse(row: object) -> list[Message]:
    """The messages of a row. Raises ValueError saying what is wrong with it."""
    if not is_mapping(row):
        raise ValueError("the row is no object")
    messages, prompt, completion = (row.get(name) for name in ("messages", "prompt", "completion"))
    if is_list(messages):
        chat = [_message(message, index) for index, message in enumerate(messages)]
    elif isinstance(prompt, str) and isinstance(completion, str):
        chat: list[Message] = [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": completion},
        ]
    else:
        raise ValueError("there are neither messages, nor a prompt and a completion that are texts")
    if not any(message["role"] == "assistant" for message in chat):
        raise ValueError("no message is the assistant's")
    return chat


def _message(given: object, index: int) -> Message:
    role, content = (given.get("role"), given.get("content")) if is_mapping(given) else (None, None)
    if role not in ROLES or not isinstance(content, str):
        raise ValueError(
            f"message {index} is no object with a role ({', '.join(ROLES)}) and a content that is text"
        )
    return {"role": role, "content": content}


@dataclass(frozen=True)
class _Example:
    """A rendered chat. The targets are the tokens, by their index, that the assistant would have sampled."""

    tokens: list[int]
    targets: list[int]
    num_bytes: int


class _NLL:
    r"""The mean of -log p over the targets, and of its sum over examples; and bits a byte, by which models compare
    whose tokens differ: sum of -log2 p over targets / bytes of their text.
    """

    def __init__(self, chats: Sequence[Sequence[Message]], model: ModelConfig, prefix: str) -> None:
        self.chats = chats
        self.model = model
        self.prefix = prefix
        self._examples: list[_Example] = []

    async def __call__(self, sampling_client: tinker.SamplingClient) -> dict[str, float]:
        if not self._examples:
            chat = self.model.load_chat()
            self._examples = [_render(messages, chat) for messages in self.chats]
        async with asyncio.TaskGroup() as group:
            scores = [group.create_task(_nats(example, sampling_client)) for example in self._examples]
        nats = math.fsum(score.result() for score in scores)
        metrics = {
            "nll": nats / sum(len(example.targets) for example in self._examples),
            "nll_per_example": nats / len(self._examples),
        }
        if num_bytes := sum(example.num_bytes for example in self._examples):
            metrics["bits_per_byte"] = nats / math.log(2) / num_bytes
        return {f"{self.prefix}/{name}": value for name, value in metrics.items()}


def _render(messages: Sequence[Message], chat: Chat) -> _Example:
    from renderers import build_training_sample

    sample = build_training_sample(
        chat.renderer,
        [{"role": message["role"], "content": message["content"]} for message in messages],
        role_to_mask=lambda message: message["role"] == "assistant",
        ensure_final_stop=True,
    )
    targets = [index for index, is_target in enumerate(sample.loss_mask) if is_target and index > 0]
    text = chat.tokenizer.decode([sample.token_ids[index] for index in targets], skip_special_tokens=True)
    return _Example(sample.token_ids, targets, len(text.encode()))


async def _nats(example: _Example, sampling_client: tinker.SamplingClient) -> float:
    """The negative log-likelihood of the targets."""
    import tinker

    logprobs = await sampling_client.compute_logprobs(tinker.ModelInput.from_ints(example.tokens))
    of_targets = [logprob for index in example.targets if (logprob := logprobs[index]) is not None]
    if len(of_targets) < len(example.targets):
        raise ServiceError("The service left out log-probabilities of a prompt that it was asked for.")
    return -math.fsum(of_targets)
