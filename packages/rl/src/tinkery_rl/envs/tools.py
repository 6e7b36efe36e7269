"""Tools: typed Python functions that a model may call.

The model is told of a tool what its signature and docstring say, and what it passes is held to that signature. A
`def` tool runs in a worker process, which is ended when its time is up, and keeps nothing between calls. An `async
def` tool runs beside the rollouts: it may be a method that changes its object, and has to await what takes time.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from typing import TYPE_CHECKING, get_type_hints

from tinkery_core.errors import ServiceError, UserError
from tinkery_core.failure import is_from_the_sdk
from tinkery_core.workers import WorkerError

from tinkery_rl.envs.bounded import Function, TookTooLong, call_within, check_can_run

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError
    from tinkery_core.chat import ToolSpec


@dataclass(frozen=True)
class ToolResult:
    """What the model reads of a call."""

    text: str
    is_error: bool = False


class Tool:
    """A function as a tool. Raises UserError for one that cannot be described to a model, or cannot run.

    `spec` is what the model is told: name, docstring, and the JSON schema of the parameters. A parameter is
    described by `Annotated[int, pydantic.Field(description=…)]`, or in the docstring.
    """

    def __init__(self, function: Function) -> None:
        from pydantic import TypeAdapter

        check_can_run(function, "tool")
        description = inspect.getdoc(function)
        if not description:
            raise UserError(
                f"The tool {function.__qualname__} has no docstring, which is what a model reads of it"
            )
        self.function = function
        self.name = function.__name__
        self._arguments = _arguments_of(function)
        self._adapter: TypeAdapter[object] = TypeAdapter(self._arguments)
        self.spec: ToolSpec = {
            "name": self.name,
            "description": description,
            "parameters": _schema(self._adapter),
        }

    async def call(self, arguments: Mapping[str, object], seconds: float) -> ToolResult:
        """Call with what the model passed. What goes wrong is said to the model, in the result.

        Errors of the user, the service and the SDK are raised.
        """
        from pydantic import ValidationError

        try:
            given = self._adapter.validate_python(arguments)
        except ValidationError as error:
            return ToolResult(f"Error: {_problems(error)}", is_error=True)
        named = {each.name: getattr(given, each.name) for each in fields(self._arguments)}
        run = _run_async if inspect.iscoroutinefunction(self.function) else _run
        try:
            result = await call_within(seconds, run, self.function, named)
        except TookTooLong:
            return ToolResult(f"Error: {self.name} took longer than {seconds:g} s", is_error=True)
        except WorkerError:
            return ToolResult(f"Error: {self.name} crashed", is_error=True)
        assert isinstance(result, ToolResult)
        return result


def _run(function: Function, named: Mapping[str, object]) -> ToolResult:
    """Runs in a worker, which result and error leave as text: not all of them pickle."""
    try:
        return ToolResult(_as_text(function(**named)))
    except Exception as error:
        return _as_result(error)


async def _run_async(function: Callable[..., Awaitable[object]], named: Mapping[str, object]) -> ToolResult:
    try:
        return ToolResult(_as_text(await function(**named)))
    except Exception as error:
        return _as_result(error)


def _as_result(error: Exception) -> ToolResult:
    if isinstance(error, UserError | ServiceError) or is_from_the_sdk(error):
        raise error
    return ToolResult(f"Error: {type(error).__name__}: {error}", is_error=True)


def _arguments_of(function: Function) -> type:
    """A dataclass with the parameters of the function as its fields."""
    from pydantic import ConfigDict

    name = function.__qualname__
    parameters = inspect.signature(function).parameters.values()
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise UserError(f"The tool {name} has a parameter whose type is not found: {error}") from error
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UserError(
                f"The tool {name} takes {parameter}, and a model passes each argument by a name that it was told"
            )
        if parameter.name not in hints:
            raise UserError(
                f"The tool {name} does not say of what type its parameter {parameter.name} is, and a model has to "
                f"know. Write e.g. `{parameter.name}: str`"
            )
    return make_dataclass(
        function.__name__,
        [(parameter.name, hints[parameter.name], _field(parameter)) for parameter in parameters],
        kw_only=True,
        namespace={"__pydantic_config__": ConfigDict(extra="forbid")},
    )


def _field(parameter: inspect.Parameter) -> object:
    default: object = parameter.default
    if default is parameter.empty:
        return field()
    if isinstance(default, str | int | float | None):
        return field(default=default)
    return field(default_factory=lambda: default)  # dataclasses refuse mutable ones


def _schema(adapter: TypeAdapter[object]) -> Mapping[str, object]:
    from pydantic.json_schema import GenerateJsonSchema

    class WithoutTitles(GenerateJsonSchema):
        """Titles repeat names, and each prompt would pay for them."""

        def field_title_should_be_set(self, schema: object) -> bool:
            return False

    schema = adapter.json_schema(schema_generator=WithoutTitles)
    return {key: value for key, value in schema.items() if key != "title"}


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}" for problem in error.errors()
    )


def _as_text(result: object) -> str:
    """Text as it is, everything else as JSON."""
    from pydantic_core import to_json

    return result if isinstance(result, str) else to_json(result, fallback=str).decode()
