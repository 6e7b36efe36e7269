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
    """Tokens of a conversation, and which of them the model is to produce: each answer and the token that ends it."""

    tokens: list[int]
    sampled: list[bool]


def chat_template() -> str:
    """The same format as a jinja template, which the tokenizer carries for other programs."""
    return (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8").rstrip("\n")


def encode_chat(tokenizer: Tokenizer, messages: Sequence[Message]) -> EncodedChat:
    """Encodes a whole conversation of the corpus, in which a system message comes first if at all."""
    tokens = encode(tokenizer, BOS + "".join(map(render, messages)))
    opens, closes = encode(tokenizer, ASSISTANT + EOS)
    sampled: list[bool] = []
    answering = False
    for token in tokens:
        sampled.append(answering)
        answering = token == opens or (answering and token != closes)
    return EncodedChat(tokens, sampled)


def encode_prompt(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
    """Encodes a conversation up to where the assistant's next answer begins."""
    return encode(tokenizer, BOS + "".join(map(render, messages)) + ASSISTANT)


def render(message: Message) -> str:
    """One message as text, between its special tokens."""
    opening = {"system": "", "user": USER, "assistant": ASSISTANT}[message["role"]]
    return opening + message["content"] + (EOS if message["role"] == "assistant" else "")


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens of a text; special tokens are recognised in it."""
    return tokenizer.encode(text, add_special_tokens=False).ids
