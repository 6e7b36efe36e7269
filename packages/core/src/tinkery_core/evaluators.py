"""What an evaluation is: a builder in the config, and what it builds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import chz

from tinkery_core.errors import ServiceError, UserError
from tinkery_core.failure import describe_failure, most_telling
from tinkery_core.run_service import RunService

if TYPE_CHECKING:
    import tinker

    from tinkery_core.model import ModelConfig
    from tinkery_core.script import ScriptConfig


class EvaluationError(Exception):
    """An evaluator has failed. The message names its key in the config, and says how."""


class Evaluator(Protocol):
    """Measures a snapshot of the policy. Metric keys come back complete, e.g. `test/env/all/reward/total`."""

    async def __call__(self, sampling_client: tinker.SamplingClient) -> dict[str, float]: ...


@dataclass(frozen=True)
class EvaluationSetup:
    """What an evaluator has to know of the run that it is built for. `name` is its key in `evaluators`."""

    name: str
    model: ModelConfig
    seed: int
    max_tokens: int
    temperature: float
    service: RunService = field(default_factory=RunService, compare=False)

    @property
    def key(self) -> str:
        """Where it stands in the config."""
        return f"evaluators.{self.name}"

    @property
    def prefix(self) -> str:
        """What the keys of its metrics begin with."""
        return f"test/{self.name}"

    def sampling(self, max_tokens: int | None, temperature: float | None) -> EvaluationSetup:
        """The same, but for an evaluator that samples in its own way; None is the run's own."""
        return replace(
            self,
            max_tokens=self.max_tokens if max_tokens is None else max_tokens,
            temperature=self.temperature if temperature is None else temperature,
        )


@chz.chz
class EvaluatorBuilder(ABC):
    """Configuration object that builds an Evaluator (datasets are loaded here, not in the config)."""

    @abstractmethod
    def __call__(self, setup: EvaluationSetup) -> Evaluator:
        """Build the evaluator; its metrics are filed under `test/<setup.name>/`."""


def build_evaluators(
    config: ScriptConfig, *, max_tokens: int, temperature: float, service: RunService | None = None
) -> list[Evaluator]:
    """The evaluators that `config.evaluators` names, in the order of their names.

    The other values are what the run samples with; an evaluator may say otherwise.

    Raises UserError and EvaluationError, then and later, with the key of the evaluator in the message.
    """
    evaluators: list[Evaluator] = []
    for name, builder in sorted(config.evaluators.items()):
        setup = EvaluationSetup(
            name, config.model, config.seed, max_tokens, temperature, service or RunService()
        )
        with _naming(setup.key):
            evaluators.append(_NamedEvaluator(setup.key, builder(setup)))
    return evaluators


@dataclass(frozen=True)
class _NamedEvaluator:
    """An evaluator whose failures say which one it is."""

    key: str
    evaluator: Evaluator

    async def __call__(self, sampling_client: tinker.SamplingClient) -> dict[str, float]:
        with _naming(self.key):
            return await self.evaluator(sampling_client)


@contextmanager
def _naming(key: str) -> Generator[None]:
    """Say in each error which evaluator it is about. A service that is lost is nobody's fault in particular."""
    try:
        yield
    except Exception as error:
        told = most_telling(error)
        if isinstance(told, ServiceError) or str(told).startswith(key):
            raise
        if isinstance(told, UserError):
            raise UserError(f"{key}: {told}") from error
        raise EvaluationError(f"{key} failed: {describe_failure(told).text}") from error
