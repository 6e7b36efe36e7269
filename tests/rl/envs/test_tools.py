"""Tools: what a model is told of them, what it may pass, and what it reads when a call goes wrong."""

import json
import os
from collections.abc import Callable
from functools import partial

import anyio
import pytest
from tinkery_core.errors import UserError
from tinkery_rl.envs.tools import Tool, ToolResult
from user_functions import Notebook, add, crash, divide, process, refuse, ship, spin, times_out, wait

SECONDS = 60.0


async def called(
    function: Callable[..., object], arguments: dict[str, object], seconds: float = SECONDS
) -> ToolResult:
    with anyio.fail_after(SECONDS):
        return await Tool(function).call(arguments, seconds)


def error(text: str) -> ToolResult:
    return ToolResult(f"Error: {text}", is_error=True)


def test_a_model_is_told_what_signature_and_docstring_say() -> None:
    assert Tool(add).spec == {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "integer"},
                "b": {"type": "integer", "description": "what is added", "default": 3},
            },
            "required": ["a"],
            "additionalProperties": False,
        },
    }


def test_types_may_be_nested_and_defaults_anything() -> None:
    spec = Tool(ship).spec
    assert spec["description"] == "Ships parcels.\n\nAll at once."
    schema = json.loads(json.dumps(spec["parameters"]))
    assert schema["required"] == ["parcels"]
    assert schema["properties"].keys() == {"parcels", "unit", "note", "to"}
    assert schema["$defs"]["Parcel"]["properties"]["weight"] == {"type": "number"}
    assert schema["$defs"]["Unit"]["enum"] == ["cm", "inch"]


async def test_a_call_gets_values_of_the_types_that_it_asks_for() -> None:
    result = await called(ship, {"parcels": [{"weight": 2}, {"weight": "1.5"}], "unit": "inch"})
    assert result == ToolResult('{"weight":3.5,"unit":"inch","note":null,"to":["home"]}')
    assert await called(add, {"a": 1}) == ToolResult("4")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "a: Field required"),
        ({"a": "one"}, "a: Input should be a valid integer, unable to parse string as an integer"),
        ({"a": 1, "c": 2}, "c: Unexpected keyword argument"),
        (
            {"a": None, "b": 1.5},
            "a: Input should be a valid integer; b: Input should be a valid integer, got a "
            "number with a fractional part",
        ),
    ],
)
async def test_arguments_that_do_not_fit_are_told(arguments: dict[str, object], text: str) -> None:
    assert await called(add, arguments) == error(text)


async def test_what_a_tool_raises_is_told() -> None:
    assert await called(divide, {"a": 1, "b": 0}) == error("ZeroDivisionError: float division by zero")
    assert await called(times_out, {}) == error("TimeoutError: no answer from the shop")


async def test_a_def_tool_runs_in_a_process_of_its_own() -> None:
    assert (await called(process, {})).text != str(os.getpid())


@pytest.mark.parametrize("function", [spin, wait])
async def test_a_tool_that_hangs_is_ended(function: Callable[[], object]) -> None:
    assert await called(function, {}, 0.5) == error(f"{function.__name__} took longer than 0.5 s")


async def test_a_tool_that_ends_its_process_is_told() -> None:
    assert await called(crash, {}) == error("crash crashed")
    assert await called(add, {"a": 1}) == ToolResult("4")


async def test_what_the_user_can_correct_is_not_told_to_the_model() -> None:
    with pytest.raises(UserError, match="set a key"):
        await called(refuse, {})


async def test_an_async_tool_may_be_a_method_with_a_memory() -> None:
    notebook = Notebook()
    assert (await called(notebook.write, {"line": "one"})).text == "1"
    assert (await called(notebook.write, {"line": "two"})).text == "2"
    assert notebook.lines == ["one", "two"]


async def untold() -> None: ...


async def untyped(query: str) -> None:
    """Searches."""


async def mistyped(query: str) -> None:
    """Searches."""


del untyped.__annotations__["query"]
mistyped.__annotations__["query"] = "Query"


async def unnamed(*queries: str) -> None:
    """Searches."""


def inside() -> Callable[[], None]:
    def local() -> None:
        """Searches."""

    return local


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (untold, "The tool untold has no docstring, which is what a model reads of it"),
        (untyped, "The tool untyped does not say of what type its parameter query is, and a model has to know. "
                  "Write e.g. `query: str`"),
        (mistyped, "The tool mistyped has a parameter whose type is not found: name 'Query' is not defined"),
        (unnamed, "The tool unnamed takes *queries: str, and a model passes each argument by a name that it was told"),
        (Notebook().forget, "The tool Notebook.forget is a method that is not `async def`. It would run in a process "
                            "of its own, where what it changes is lost.\nWrite `async def forget`"),
        (partial(add, 1), "The tool functools.partial(<function add at "),
        (inside(), "The tool inside.<locals>.local of "),
    ],
)  # fmt: skip
def test_a_function_that_cannot_be_a_tool_is_refused(function: Callable[..., object], text: str) -> None:
    with pytest.raises(UserError) as raised:
        Tool(function)
    assert str(raised.value).startswith(text)
