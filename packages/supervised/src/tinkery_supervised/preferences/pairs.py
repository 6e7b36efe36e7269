"""Pairs of answers: checked, and rendered to the tokens whose log-probabilities are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinkery_supervised.conversations import Conversation, parse_conversation, render_example
from tinkery_supervised.messages import Malformed, is_list, is_mapping, kind
from tinkery_supervised.types import BadRow, Example

if TYPE_CHECKING:
    from tinkery_core.chat import Chat, Message


@dataclass(frozen=True)
class Preference:
    """Two conversations that differ in their last message alone, an assistant's: one that is preferred, and another."""

    chosen: Conversation
    rejected: Conversation

    @property
    def where(self) -> str:
        """Its place in the source."""
        return self.chosen.where

    @property
    def prompt(self) -> list[Message]:
        """What both answers answer, as texts by role."""
        return [{"role": m["role"], "content": str(m["content"])} for m in self.chosen.messages[:-1]]

    @property
    def answers(self) -> tuple[str, str]:
        """The texts of the chosen and of the rejected answer."""
        return str(self.chosen.messages[-1]["content"]), str(self.rejected.messages[-1]["content"])


@dataclass(frozen=True)
class Pair:
    """A preference in tokens; the targets are those of the answers."""

    chosen: Example
    rejected: Example

    @property
    def sides(self) -> tuple[Example, Example]:
        """First the chosen one."""
        return self.chosen, self.rejected


def parse_preference(row: object, where: str) -> Preference:
    """Check `{"prompt": …, "chosen": …, "rejected": …}`; other keys are not looked at.

    The prompt is a list of messages, or the text of one by the user; an answer is a text or an assistant's message in
    a list. Without a prompt both answers are whole conversations, whose beginnings are the same (in data sets that
    have both, the prompt beside such conversations is not needed). Raises Malformed.
    """
    if not is_mapping(row):
        raise Malformed(f"expected an object with prompt, chosen and rejected, got {kind(row)}")
    chosen, rejected = (_messages(row, side) for side in ("chosen", "rejected"))
    if len(chosen) > 1 or len(rejected) > 1:
        if chosen[:-1] != rejected[:-1]:
            raise Malformed("chosen and rejected begin differently: they are answers to different prompts")
        prompt: Sequence[object] = []
    else:
        prompt = _prompt(row.get("prompt"))
    sides = [
        parse_conversation({"messages": [*prompt, *answer]}, where, "last_assistant")
        for answer in (chosen, rejected)
    ]
    if any(len(side.messages) < 2 or side.messages[-1]["role"] != "assistant" for side in sides):
        raise Malformed("chosen and rejected have to end with an assistant's answer to a prompt")
    if sides[0].messages == sides[1].messages:
        raise Malformed("chosen and rejected are the same")
    return Preference(*sides)


def _prompt(given: object) -> Sequence[object]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if is_list(given) and given:
        return given
    raise Malformed(f"prompt: expected text or a list of messages, got {kind(given)}")


def _messages(row: Mapping[str, object], side: str) -> Sequence[object]:
    answer = row.get(side)
    if isinstance(answer, str):
        return [{"role": "assistant", "content": answer}]
    if is_list(answer) and answer:
        return answer
    raise Malformed(f"{side}: expected text or a list of messages, got {kind(answer)}")


def render_pair(preference: Preference, chat: Chat, max_length: int | None) -> Pair | BadRow:
    """The pair of a preference; what is beyond `max_length` tokens is cut off, and counted."""
    chosen = render_example(preference.chosen, chat, max_length)
    rejected = render_example(preference.rejected, chat, max_length)
    if isinstance(chosen, BadRow):
        return chosen
    if isinstance(rejected, BadRow):
        return rejected
    return Pair(chosen, rejected)
