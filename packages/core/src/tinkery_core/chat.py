"""Chats to tokens and back, through the `renderers` package."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Required, TypedDict, cast

from tinkery_core.config.suggest import did_you_mean
from tinkery_core.errors import UserError
from tinkery_core.tokenizer import load_tokenizer

if TYPE_CHECKING:
    import renderers
    from renderers.base import ParsedToolCall


class ToolSpec(TypedDict):
    """What a model is told of a tool: its name, what it is for, and the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, object]


class ToolCall(TypedDict, total=False):
    """A tool that a message calls. `error` is there if the call is malformed, and says how."""

    id: Required[str]
    name: Required[str]
    arguments: Required[Mapping[str, object]]
    error: str


class Message(TypedDict, total=False):
    """One message of a chat. An assistant's may call tools; one with role `tool` is the result of such a call."""

    role: Required[str]
    content: Required[str]
    tool_calls: Sequence[ToolCall]
    tool_call_id: str
    name: str


class Chat:
    """The chat format of one model. A sampled message keeps its tokens: chats are extended, never re-rendered."""

    def __init__(self, tokenizer: renderers.Tokenizer, renderer: renderers.Renderer) -> None:
        self.tokenizer = tokenizer
        self.renderer = renderer

    @property
    def stop_tokens(self) -> list[int]:
        """Tokens that end an assistant message; a sampled message includes the one that ended it."""
        return self.renderer.get_stop_token_ids()

    def render_prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> list[int]:
        """Tokens up to where the assistant's next message begins.

        A chat format that has no place for tools gets them described in the system message.
        """
        prompt = self._render(messages, (), add_generation_prompt=True)
        if not tools:
            return prompt
        prompt_with_tools = self._render(messages, tools, add_generation_prompt=True)
        if prompt_with_tools != prompt:
            return prompt_with_tools
        return self._render(self._with_tools_described(messages, tools), (), add_generation_prompt=True)

    def extend(
        self,
        prompt: list[int],
        completion: list[int],
        new_messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
    ) -> list[int]:
        """`prompt + completion`, token for token, then `new_messages`, up to the assistant's next message.

        Raises UserError if this chat format cannot extend without rendering the sampled tokens anew.
        """
        bridged = self.renderer.bridge_to_next_turn(
            prompt, completion, _as_renderer_messages(new_messages), tools=_as_renderer_tools(tools)
        )
        if bridged is None:
            raise UserError(
                f"The chat format {type(self.renderer).__name__} cannot continue a sampled chat without changing its "
                "tokens, so it cannot be trained on several turns.\n"
                "Choose a model whose format can (model=tiny does), or an environment of one turn."
            )
        return bridged.token_ids

    def parse(self, tokens: list[int], prompt: list[int] | None = None) -> str:
        """The text of a sampled message, without stop token, reasoning and tool calls.

        A format whose prompts open the reasoning needs the prompt to tell where it ends.
        """
        return self.renderer.parse_response(tokens, prompt_ids=prompt).content

    def parse_message(
        self, tokens: list[int], prompt: list[int] | None = None, tools: Sequence[ToolSpec] = ()
    ) -> Message:
        """A sampled message: its text, and `tool_calls` if it calls any tools, also malformed ones.

        `tools` are those of the prompt: some formats tell the types of arguments only by their schema.
        """
        parsed = self.renderer.parse_response(tokens, tools=_as_renderer_tools(tools), prompt_ids=prompt)
        message: Message = {"role": "assistant", "content": parsed.content}
        if parsed.tool_calls:
            message["tool_calls"] = [_as_tool_call(call, i) for i, call in enumerate(parsed.tool_calls)]
        return message

    def _render(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, add_generation_prompt: bool
    ) -> list[int]:
        return self.renderer.render_ids(
            _as_renderer_messages(messages),
            tools=_as_renderer_tools(tools),
            add_generation_prompt=add_generation_prompt,
        )

    def _with_tools_described(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> Sequence[Message]:
        lines = [
            "You can call these tools:",
            *(json.dumps(tool, ensure_ascii=False) for tool in tools),
            f"A call has this form: {self._call_as_text()}",
        ]
        first, *others = messages
        if first["role"] == "system":
            return [{**first, "content": "\n".join([first["content"], "", *lines])}, *others]
        return [{"role": "system", "content": "\n".join(lines)}, *messages]

    def _call_as_text(self) -> str:
        """How this format writes a tool call, taken from the format itself."""
        question: Message = {"role": "user", "content": "?"}
        call: ToolCall = {"id": "call_0", "name": "NAME", "arguments": {"ARGUMENT": "VALUE"}}
        answer: Message = {"role": "assistant", "content": "", "tool_calls": [call]}
        before = self._render([question], (), add_generation_prompt=True)
        after = self._render([question, answer], (), add_generation_prompt=False)
        start = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
        return self.decode([token for token in after[start:] if token not in self.stop_tokens]).strip()

    def encode(self, text: str) -> list[int]:
        """Tokens of plain text, without special tokens around it."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def decode(self, tokens: list[int]) -> str:
        """The text of tokens, special tokens included."""
        return self.tokenizer.decode(tokens)


def _as_renderer_messages(messages: Sequence[Message]) -> list[renderers.Message]:
    return [_as_renderer_message(message) for message in messages]


def _as_renderer_message(message: Message) -> renderers.Message:
    made: renderers.Message = {"role": message["role"], "content": message["content"]}
    if "tool_calls" in message:
        made["tool_calls"] = [
            {
                "type": "function",
                "id": call["id"],
                "function": {"name": call["name"], "arguments": dict(call["arguments"])},
            }
            for call in message["tool_calls"]
        ]
    if "tool_call_id" in message:
        made["tool_call_id"] = message["tool_call_id"]
    if "name" in message:
        made["name"] = message["name"]
    return made


def _as_renderer_tools(tools: Sequence[ToolSpec]) -> list[renderers.ToolSpec] | None:
    """In the envelope that chat templates print, and models have seen; renderers take it, their type has only
    what is inside.
    """
    if not tools:
        return None
    envelopes = [{"type": "function", "function": dict(tool)} for tool in tools]
    return cast("list[renderers.ToolSpec]", envelopes)


def _as_tool_call(parsed: ParsedToolCall, index: int) -> ToolCall:
    arguments = {} if parsed.arguments is None else parsed.arguments
    call: ToolCall = {"id": parsed.id or f"call_{index}", "name": parsed.name or "", "arguments": {}}
    if isinstance(arguments, dict):
        call["arguments"] = arguments
    if not parsed.name:
        call["error"] = "the call names no tool"
    elif parsed.status == "unclosed_block":
        call["error"] = "the call is not closed"
    elif not isinstance(arguments, dict):
        call["error"] = "the arguments are not a JSON object"
    return call


@cache
def load_chat(model_name: str, renderer_name: str | None) -> Chat:
    """The chat of a model, loaded once per process; see ModelConfig.load_chat."""
    name = _renderer_name(model_name, renderer_name)
    tokenizer = load_tokenizer(model_name)
    renderers_package = import_module("renderers")
    # Typed here because the package leaves its parameter `tokenizer` without an annotation.
    create: Callable[[renderers.Tokenizer, object], renderers.Renderer] = renderers_package.create_renderer
    config: renderers.BaseRendererConfig = renderers_package.config_from_name(name)
    if name != "default":
        # Else formats with reasoning drop it at the next question, and a chat could not be extended past one.
        config = config.model_copy(update={"thinking_retention": "all"})
    return Chat(tokenizer, create(tokenizer, config))


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
