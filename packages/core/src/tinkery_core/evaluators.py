"""What an evaluation is: a builder in the config, and what it builds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

import chz

if TYPE_CHECKING:
    import tinker


class Evaluator(Protocol):
    """Measures a snapshot of the policy. Metric keys come back complete, e.g. `test/env/all/reward/total`."""

    async def __call__(self, sampling_client: tinker.SamplingClient) -> dict[str, float]: ...


@chz.chz
class EvaluatorBuilder(ABC):
    """Configuration object that builds an Evaluator (datasets are loaded here, not in the config)."""

    @abstractmethod
    def __call__(self) -> Evaluator: ...
