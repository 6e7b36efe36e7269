"""Chats to tokens and back, through the `renderers` package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Required, TypedDict

from tinkery_core.config.suggest import did_you_mean
from tinkery_core.errors import UserError
from tinkery_core.tokenizer import load_tokenizer

if TYPE_CHECKING:
    import renderers


class Message(TypedDict, total=False):
    """One message of a chat."""

    role: Required[str]
    content: Required[str]


class Chat:
    """The chat format of one model. A sampled message keeps its tokens: chats are extended, never re-rendered."""

    def __init__(self, tokenizer: renderers.Tokenizer, renderer: renderers.Renderer) -> None:
        self.tokenizer = tokenizer
        self.renderer = renderer

    @property
    def stop_tokens(self) -> list[int]:
        """Tokens that end an assistant message; a sampled message includes the one that ended it."""
        return self.renderer.get_stop_token_ids()

    def render_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens up to where the assistant's next message begins."""
        return self.renderer.render_ids(_as_renderer_messages(messages), add_generation_prompt=True)

    def extend(self, prompt: list[int], completion: list[int], new_messages: Sequence[Message]) -> list[int]:
        """`prompt + completion`, token for token, then `new_messages`, up to the assistant's next message.

        Raises UserError if this chat format cannot extend without rendering the sampled tokens anew.
        """
        bridged = self.renderer.bridge_to_next_turn(prompt, completion, _as_renderer_messages(new_messages))
        if bridged is None:
            raise UserError(
                f"The chat format {type(self.renderer).__name__} cannot continue a sampled chat without changing its "
                "tokens, so it cannot be trained on several turns.\n"
                "Choose a model whose format can (model=tiny does), or an environment of one turn."
            )
        return bridged.token_ids

    def parse(self, tokens: list[int]) -> str:
        """The text of a sampled message, without stop token and without reasoning."""
        return self.renderer.parse_response(tokens).content

    def encode(self, text: str) -> list[int]:
        """Tokens of plain text, without special tokens around it."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def decode(self, tokens: list[int]) -> str:
        """The text of tokens, special tokens included."""
        return self.tokenizer.decode(tokens)


def _as_renderer_messages(messages: Sequence[Message]) -> list[renderers.Message]:
    return [{"role": message["role"], "content": message["content"]} for message in messages]


@cache
def load_chat(model_name: str, renderer_name: str | None) -> Chat:
    """The chat of a model, loaded once per process; see ModelConfig.load_chat."""
    name = _renderer_name(model_name, renderer_name)
    tokenizer = load_tokenizer(model_name)
    renderers_package = import_module("renderers")
    # Typed here because the package leaves its parameter `tokenizer` without an annotation.
    create: Callable[[renderers.Tokenizer, object], renderers.Renderer] = renderers_package.create_renderer
    return Chat(tokenizer, create(tokenizer, renderers_package.config_from_name(name)))


def _renderer_name(model_name: str, renderer_name: str | None) -> str:
    from renderers.base import MODEL_RENDERER_MAP

    name = renderer_name or MODEL_RENDERER_MAP.get(model_name)
    known = sorted({"default", *MODEL_RENDERER_MAP.values()})
    if name is None:
        raise UserError(
            f"model.renderer is not set, and the chat format of {model_name} is not known by its name.\n"
            f"Set model.renderer to one of: {', '.join(known)}"
        )
    if name not in known:
        raise UserError(
            f"model.renderer={name} is not a chat format.{did_you_mean(name, known)}\n"
            f"Expected one of: {', '.join(known)}"
        )
    return name
