"""An algorithm: a chain of advantage functions, named in YAML, and the loss that the service computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import chz

from tinkery_rl.losses import Loss

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tinkery_rl.types import TrajectoryGroup


@chz.chz
class Algorithm:
    """What the rewards of a batch become. See `tinkery_rl.advantages` for the equation of each name."""

    baseline: Literal["group_mean", "leave_one_out", "batch_mean", "none"] = chz.field(
        doc="what is subtracted from a reward"
    )
    scale: Literal["group_std", "batch_std", "none"] = chz.field(doc="what the difference is divided by")
    length_normalisation: Literal["per_token", "per_trajectory", "per_batch_token"] = chz.field(
        doc="what counts the same: each token, or each trajectory; or a mean over all tokens"
    )
    loss: Loss = chz.field(doc="the loss that the service computes")
    skip_zero_advantages: bool = chz.field(
        default=True, doc="don't train on groups without any advantage, such as those with one reward for all"
    )

    @chz.validate
    def _group_baselines_have_a_group(self) -> None:
        if self.baseline == "none" and self.scale == "group_std":
            raise ValueError(
                "scale=group_std divides by the spread around a group's mean, and baseline=none keeps that "
                "mean: choose baseline=group_mean, or scale=none"
            )

    def token_weights(self, groups_P: Sequence[TrajectoryGroup]) -> list[NDArray[np.float64]]:
        """What each sampled token of each trajectory is weighted by in the loss: one array over members a group."""
        import numpy as np

        from tinkery_rl.advantages import BASELINES, LENGTH_NORMALISATIONS, SCALES

        rewards_P_G = [np.array(group.rewards_G, dtype=np.float64) for group in groups_P]
        lengths_P_G = [
            np.array([trajectory.num_action_tokens for trajectory in group.trajectories_G], dtype=np.int64)
            for group in groups_P
        ]
        advantages_P_G = SCALES[self.scale](BASELINES[self.baseline](rewards_P_G))
        weights_P_G = LENGTH_NORMALISATIONS[self.length_normalisation](lengths_P_G)
        return [a_G * w_G for a_G, w_G in zip(advantages_P_G, weights_P_G, strict=True)]
