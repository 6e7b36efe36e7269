"""What an evaluation is: a builder in the config, and what it builds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import chz

if TYPE_CHECKING:
    import tinker

    from tinkery_core.model import ModelConfig


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


@chz.chz
class EvaluatorBuilder(ABC):
    """Configuration object that builds an Evaluator (datasets are loaded here, not in the config)."""

    @abstractmethod
    def __call__(self, setup: EvaluationSetup) -> Evaluator:
        """Build the evaluator; its metrics are filed under `test/<setup.name>/`."""
