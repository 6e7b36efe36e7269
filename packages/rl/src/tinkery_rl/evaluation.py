"""Evaluation on environments held out from training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinkery_core.completers import SamplingCompleter

from tinkery_rl.metrics import rollout_metrics
from tinkery_rl.rollouts import rollout_batch

if TYPE_CHECKING:
    import tinker

    from tinkery_rl.config import RLConfig
    from tinkery_rl.types import RLDataset


class HeldOutEvaluator:
    """Rolls out each group of a dataset once and reports its metrics under `test/`.

    Each evaluation samples with the same seeds, so that two policies are compared on the same dice.
    """

    def __init__(self, dataset: RLDataset, config: RLConfig) -> None:
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
        groups_P = await rollout_batch(builders, policy, "test")
        return {f"test/{name}": value for name, value in rollout_metrics(groups_P).items()}
