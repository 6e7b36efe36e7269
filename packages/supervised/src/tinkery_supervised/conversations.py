"""Conversations in the form of OpenAI's messages: checked, and rendered to the tokens that are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from tinkery_supervised.messages import Malformed, is_list, is_mapping, kind, parse_message, parse_tools
from tinkery_supervised.types import BadRow, Example

if TYPE_CHECKING:
    import renderers
    from tinkery_core.chat import Chat

TrainOn: TypeAlias = Literal["last_assistant", "all_assistants", "chosen"]
"""Which messages are learned: the assistant's last one, all of its, or those of its whose `weight` is not 0."""


@dataclass(frozen=True)
class Conversation:
    """Messages that are in order, and which of them are learned. `where` is its place in the source."""

    messages: list[renderers.Message]
    learned: list[bool]
    where: str
    tools: list[renderers.ToolSpec] | None = None


def parse_conversation(row: object, where: str, train_on: TrainOn) -> Conversation:
    """Check `{"messages": [{"role": …, "content": …}, …], "tools": […]}`; other keys are not looked at.

    Raises Malformed.
    """
    if not is_mapping(row):
        raise Malformed(f"expected an object with messages, got {kind(row)}")
    given = row.get("messages")
    if not is_list(given) or not given:
        raise Malformed(f"messages: expected a list of messages, got {kind(given)}")
    messages = [parse_message(message, number) for number, message in enumerate(given)]
    weights = [_weight(message, number, train_on) for number, message in enumerate(given)]
    assistants = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    if not assistants:
        raise Malformed("there is no assistant message to learn from")
    learned = [
        message["role"] == "assistant"
        and weights[number]
        and (train_on != "last_assistant" or number == assistants[-1])
        for number, message in enumerate(messages)
    ]
    return Conversation(messages, learned, where, parse_tools(row.get("tools")))


def render_example(conversation: Conversation, chat: Chat, max_length: int | None) -> Example | BadRow:
    """The example of a conversation; what is beyond `max_length` tokens is cut off, and counted."""
    import numpy as np
    from renderers import build_training_sample

    try:
        sample = build_training_sample(
            chat.renderer,
            conversation.messages,
            role_to_mask=lambda message: message["role"] == "assistant",
            tools=conversation.tools,
            ensure_final_stop=True,
            message_loss_mask=list(conversation.learned),
        )
    except (ValueError, TypeError, KeyError) as error:
        return BadRow(conversation.where, f"the chat format cannot render it: {error}")
    tokens_T = sample.token_ids[:max_length]
    weights_T = np.array(sample.loss_mask[:max_length], dtype=np.float32)
    weights_T[:1] = 0  # nothing predicts the first token
    targets = [token for token, weight in zip(tokens_T, weights_T, strict=True) if weight]
    text = chat.tokenizer.decode(targets, skip_special_tokens=True)
    return Example(tokens_T, weights_T, len(text.encode()), len(sample.token_ids) - len(tokens_T))


def _weight(given: object, number: int, train_on: TrainOn) -> bool:
    """Whether the message is not taken out by its `weight`, as in OpenAI's fine-tuning files."""
    weight = given.get("weight") if is_mapping(given) else None
    if weight is None:
        return True
    if train_on != "chosen":
        raise Malformed(f"message {number} has a weight, which only train_on=chosen looks at")
    if weight not in (0, 1):
        raise Malformed(f"message {number}: weight is {weight}, expected 0 or 1")
    return bool(weight)
