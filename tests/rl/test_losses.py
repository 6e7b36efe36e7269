"""Losses as the service computes them on what the trainer sends."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tinkery_rl.algorithm import Algorithm
from tinkery_rl.config import RLConfig
from tinkery_rl.losses import DRO, ImportanceSampling, Loss

Train = Callable[[RLConfig], Awaitable[list[dict[str, float]]]]
Configure = Callable[..., RLConfig]


async def test_dro_pulls_at_no_token_that_was_not_sampled(
    configure: Configure, trained: Train, tmp_path: Path
) -> None:
    """On-policy its pull is nil at sampled tokens too, so its first step is that of importance sampling."""

    async def first_step(loss: Loss) -> dict[str, float]:
        algorithm = Algorithm(
            baseline="group_mean",
            scale="none",
            length_normalisation="per_token",
            loss=loss,
            skip_zero_advantages=False,
        )
        lines = await trained(configure(run_dir=str(tmp_path / loss.name), algorithm=algorithm, max_steps=1))
        return lines[0]

    dro, importance_sampling = await first_step(DRO()), await first_step(ImportanceSampling())
    assert dro["optim/grad_norm"] == pytest.approx(importance_sampling["optim/grad_norm"], rel=1e-3)
