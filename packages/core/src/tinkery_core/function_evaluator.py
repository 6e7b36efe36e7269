"""An evaluator that is a Python function of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

import chz

from tinkery_core.completers import MessageCompleter, SamplingCompleter
from tinkery_core.config.checks import at_least
from tinkery_core.config.convert import kind
from tinkery_core.config.targets import find_in_module
from tinkery_core.config.values import is_mapping
from tinkery_core.errors import UserError
from tinkery_core.evaluators import EvaluationSetup, Evaluator, EvaluatorBuilder

if TYPE_CHECKING:
    import tinker

Function: TypeAlias = Callable[[MessageCompleter], Awaitable[Mapping[str, float]]]

_EXPECTED = (
    "Expected package.module:name of an `async def name(completer: MessageCompleter) -> dict[str, float]`, "
    "in a package that is installed or on PYTHONPATH."
)


@chz.chz
class FunctionEvaluator(EvaluatorBuilder):
    """Calls an async function with the policy, and reports the numbers that it returns."""

    function: str = chz.field(
        doc="package.module:name of `async def name(completer: MessageCompleter) -> dict[str, float]`"
    )
    max_tokens: int | None = chz.field(
        default=None, validator=at_least(1), doc="tokens of an answer, at most; null is the run's own"
    )
    temperature: float | None = chz.field(
        default=None, validator=at_least(0), doc="sampling temperature, 0 is greedy; null is the run's own"
    )

    def __call__(self, setup: EvaluationSetup) -> Evaluator:
        """Imports the function. Raises UserError if there is none, or one of another form."""
        try:
            function = _find(self.function)
        except LookupError as error:
            raise UserError(f"{setup.key}.function={self.function}: {error}.\n{_EXPECTED}") from None
        return _FunctionOfPolicy(self.function, function, setup.sampling(self.max_tokens, self.temperature))


def _find(name: str) -> Function:
    """The function of this name, which is not called. Raises LookupError saying what is wrong with it."""
    module, _, attribute = name.partition(":")
    if not attribute:
        raise LookupError("it names no function in a module")
    found = find_in_module(module, attribute)
    if not _is_coroutine_function(found):
        raise LookupError(f"{attribute} is no async function")
    try:
        inspect.signature(found).bind("the completer")
    except TypeError:
        raise LookupError(f"{attribute} cannot be called with a completer alone") from None
    return found


def _is_coroutine_function(value: object) -> TypeGuard[Function]:
    return inspect.iscoroutinefunction(value)


@dataclass(frozen=True)
class _FunctionOfPolicy:
    """Each evaluation samples with the same seeds, so that two policies are compared on the same dice."""

    name: str
    function: Function
    setup: EvaluationSetup

    async def __call__(self, sampling_client: tinker.SamplingClient) -> dict[str, float]:
        setup = self.setup
        policy = SamplingCompleter(
            sampling_client,
            seed=setup.seed,
            max_tokens=setup.max_tokens,
            temperature=setup.temperature,
        )
        returned = await self.function(MessageCompleter(policy, setup.model.load_chat()))
        return {f"{setup.prefix}/{name}": value for name, value in self._numbers(returned).items()}

    def _numbers(self, returned: object) -> dict[str, float]:
        if not is_mapping(returned):
            raise self._unfit(kind(returned))
        numbers: dict[str, float] = {}
        for name, value in returned.items():
            if not isinstance(value, Real):
                raise self._unfit(f"{kind(value)} as {name}")
            numbers[name] = float(value)
        return numbers

    def _unfit(self, got: str) -> UserError:
        return UserError(
            f"{self.setup.key}.function={self.name} is to return numbers by their names, and returned {got}."
        )
