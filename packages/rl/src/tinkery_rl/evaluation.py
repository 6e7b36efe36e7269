"""Evaluation on environments held out from training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tinkery_core.completers import SamplingCompleter

from tinkery_rl.metrics import failure_metrics, rollout_metrics
from tinkery_rl.rollouts import play_batch

if TYPE_CHECKING:
    import tinker

    from tinkery_rl.rollout_config import RolloutConfig
    from tinkery_rl.types import RLDataset


class EvaluationConfig(Protocol):
    """What the policy samples with, and the bounds on its rollouts; an `RLConfig` has them."""

    @property
    def seed(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def rollouts(self) -> RolloutConfig: ...


class HeldOutEvaluator:
    """Rolls out each group of a dataset once and reports its metrics under `<name>/`.

    Each evaluation samples with the same seeds, so that two policies are compared on the same dice.
    """

    def __init__(self, dataset: RLDataset, config: EvaluationConfig, name: str = "test") -> None:
        self.name = name
        self.dataset = dataset
        self.config = config

    async def __call__(self, sampling_client: tinker.SamplingClient) -> dict[str, float]:
        policy = SamplingCompleter(
            sampling_client,
            seed=self.config.seed,
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
        )
        builders = [
            builder for index in range(len(self.dataset)) for builder in self.dataset.get_batch(index)
        ]
        results_P = await play_batch(builders, policy, self.name, self.config.rollouts)
        groups_P = [result.group for result in results_P if result.group is not None]
        metrics = rollout_metrics(groups_P) | failure_metrics(results_P)
        return {f"{self.name}/{key}": value for key, value in metrics.items()}
