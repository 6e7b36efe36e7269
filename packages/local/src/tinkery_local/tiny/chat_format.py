"""Conversations as tokens, in the chat format of DeepSeek-V3: one special token a role, one to end an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from tinkery_local.tiny.corpus.task import Message

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
TOOL_TOKENS = (
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁outputs▁begin｜>",
    "<｜tool▁outputs▁end｜>",
    "<｜tool▁output▁begin｜>",
    "<｜tool▁output▁end｜>",
    "<｜tool▁sep｜>",
)
SPECIAL_TOKENS = (BOS, EOS, USER, ASSISTANT, *TOOL_TOKENS)


@dataclass(frozen=True)
class EncodedChat:
    """Tokens of a conversation, and which of them the model is to produce (an answer and the token that ends it)."""

    tokens: list[int]
    sampled: list[bool]

    def append(self, tokens: list[int], *, sampled: bool) -> None:
        self.tokens.extend(tokens)
        self.sampled.extend([sampled] * len(tokens))


def chat_template() -> str:
    """The same format as a jinja template, which the tokenizer carries for other programs."""
    return (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8").rstrip("\n")


def encode_chat(tokenizer: Tokenizer, messages: Sequence[Message]) -> EncodedChat:
    """Encodes a whole conversation of the corpus, in which a system message comes first if at all."""
    opening = {
        "system": None,
        "user": tokenizer.token_to_id(USER),
        "assistant": tokenizer.token_to_id(ASSISTANT),
    }
    chat = EncodedChat([tokenizer.token_to_id(BOS)], [False])
    for message in messages:
        role = message["role"]
        if (token := opening[role]) is not None:
            chat.append([token], sampled=False)
        answers = role == "assistant"
        chat.append(encode(tokenizer, message["content"] + (EOS if answers else "")), sampled=answers)
    return chat


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens of a text; special tokens are recognised in it."""
    return tokenizer.encode(text, add_special_tokens=False).ids


def encode_prompt(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
    """Encodes a conversation up to where the assistant's next answer begins."""
    return encode_chat(tokenizer, messages).tokens + [tokenizer.token_to_id(ASSISTANT)]
