"""Messages as OpenAI's files have them: checked key by key, and turned into what renderers take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    import renderers

ROLES = ("system", "user", "assistant", "tool")


class Malformed(ValueError):
    """What is wrong with a row, in words."""


def parse_message(given: object, number: int) -> renderers.Message:
    if not is_mapping(given):
        raise Malformed(f"message {number}: expected an object, got {kind(given)}")
    role = given.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise Malformed(f"message {number}: role {role!r} is none of {', '.join(ROLES)}")
    calls = given.get("tool_calls")
    message: renderers.Message = {"role": role, "content": _content(given.get("content"), number, calls)}
    if calls is not None:
        message["tool_calls"] = _tool_calls(calls, number)
    if (text := _text(given, "tool_call_id", number)) is not None:
        message["tool_call_id"] = text
    if (text := _text(given, "name", number)) is not None:
        message["name"] = text
    if (text := _text(given, "reasoning_content", number)) is not None:
        message["reasoning_content"] = text
    return message


def _text(given: Mapping[str, object], key: str, number: int) -> str | None:
    text = given.get(key)
    if text is None or isinstance(text, str):
        return text
    raise Malformed(f"message {number}: {key} is {kind(text)}, expected text")


def _content(content: object, number: int, calls: object) -> str:
    """Text as it is; a list of text parts as one text; none beside tool calls as the empty text."""
    if isinstance(content, str):
        return content
    if content is None and calls:
        return ""
    if is_list(content):
        texts = [part.get("text") if is_mapping(part) else None for part in content]
        if all(isinstance(text, str) for text in texts):
            return "".join(str(text) for text in texts)
        raise Malformed(f"message {number}: content has a part that is no text, and only text is trained")
    raise Malformed(f"message {number}: content is {kind(content)}, expected text")


def _tool_calls(calls: object, number: int) -> list[renderers.ToolCall]:
    if not is_list(calls):
        raise Malformed(f"message {number}: tool_calls is {kind(calls)}, expected a list")
    return [_tool_call(call, number) for call in calls]


def _tool_call(call: object, number: int) -> renderers.ToolCall:
    function = call.get("function") if is_mapping(call) else None
    name = function.get("name") if is_mapping(function) else None
    arguments = function.get("arguments") if is_mapping(function) else None
    if not isinstance(name, str) or not (isinstance(arguments, str) or is_mapping(arguments)):
        raise Malformed(f"message {number}: a tool call needs function.name and function.arguments")
    made: renderers.ToolCall = {
        "type": "function",
        "function": {"name": name, "arguments": arguments if isinstance(arguments, str) else dict(arguments)},
    }
    if is_mapping(call) and isinstance(identity := call.get("id"), str):
        made["id"] = identity
    return made


def parse_tools(tools: object) -> list[renderers.ToolSpec] | None:
    """The functions that the conversation's assistant may call, from OpenAI's form of them."""
    if tools is None:
        return None
    if not is_list(tools):
        raise Malformed(f"tools: expected a list, got {kind(tools)}")
    return [_tool(tool, number) for number, tool in enumerate(tools)]


def _tool(tool: object, number: int) -> renderers.ToolSpec:
    function = tool.get("function", tool) if is_mapping(tool) else None
    if not is_mapping(function) or not isinstance(name := function.get("name"), str):
        raise Malformed(f"tool {number} has no name")
    parameters = function.get("parameters")
    return {
        "name": name,
        "description": str(function.get("description") or ""),
        "parameters": dict(parameters) if is_mapping(parameters) else {},
    }


def is_mapping(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case str():
            return "text"
        case bool() | int() | float():
            return f"the number {value}"
        case Mapping():
            return "an object"
        case _:
            return "an empty list" if not value else "a list"
