"""An algorithm: a chain of advantage functions, named in YAML, and the loss that the service computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import chz
from tinkery_core.config.checks import at_least

from tinkery_rl.losses import Loss
from tinkery_rl.reference import KLPenalty

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tinkery_rl.types import TrajectoryGroup


@chz.chz
class DynamicSampling:
    """Sample on until enough groups of a step have different rewards (DAPO, arXiv:2503.14476).

    Step `k` may draw the batches `k * max_batches` to `(k + 1) * max_batches - 1` of the dataset, one after
    the other. Those that it doesn't need are not drawn at all, so a batch belongs to one step whatever came
    before: a resumed run draws the same ones. All groups drawn are reported, the constant ones too.
    """

    max_batches: int = chz.field(
        default=3, validator=at_least(2), doc="batches that one step may draw until it has enough"
    )


@chz.chz
class Algorithm:
    """What the rewards of a batch become. See `tinkery_rl.advantages` for the equation of each name."""

    baseline: Literal["group_mean", "leave_one_out", "batch_mean", "seat_mean", "none"] = chz.field(
        doc="what is subtracted from a reward"
    )
    scale: Literal["group_std", "batch_std", "none"] = chz.field(doc="what the difference is divided by")
    length_normalisation: Literal["per_token", "per_trajectory", "per_batch_token"] = chz.field(
        doc="what counts the same: each token, or each trajectory; or a mean over all tokens"
    )
    loss: Loss | None = chz.field(
        default=None,
        doc="the loss that the service computes; null is importance sampling where each batch trains the very "
        "policy that sampled it, and PPO's clipped loss where it doesn't",
    )
    skip_zero_advantages: bool = chz.field(
        default=True, doc="don't train on groups without any advantage, such as those with one reward for all"
    )
    dynamic_sampling: DynamicSampling | None = chz.field(
        default=None, doc="sample until enough groups have different rewards; null samples one batch a step"
    )
    kl_penalty: KLPenalty | None = chz.field(default=None, doc="penalty for leaving a reference policy")

    @chz.validate
    def _group_baselines_have_a_group(self) -> None:
        if self.scale == "group_std" and self.baseline in ("none", "seat_mean"):
            raise ValueError(
                "scale=group_std divides by the spread around a group's mean, and "
                f"baseline={self.baseline} doesn't subtract that mean: choose baseline=group_mean, or scale=none"
            )

    @chz.validate
    def _dynamic_sampling_looks_for_what_is_trained_on(self) -> None:
        if self.dynamic_sampling is not None and self.baseline not in ("group_mean", "leave_one_out"):
            raise ValueError(
                "dynamic_sampling looks for groups with different rewards, and with "
                f"baseline={self.baseline} groups with one reward teach too: choose baseline=group_mean or "
                "leave_one_out, or leave dynamic_sampling out"
            )

    @property
    def over_the_batch(self) -> str | None:
        """The key and value that need all groups of a batch at once, if there is one."""
        for key, value in (
            ("baseline", self.baseline),
            ("scale", self.scale),
            ("length_normalisation", self.length_normalisation),
        ):
            if value in ("batch_mean", "seat_mean", "batch_std", "per_batch_token"):
                return f"{key}={value}"
        return None

    def advantages(self, groups_P: Sequence[TrajectoryGroup]) -> list[NDArray[np.float64]]:
        """The advantage of each trajectory: one array over members a group."""
        import numpy as np

        from tinkery_rl.advantages import BASELINES, SCALES

        rewards_P_G = [np.array(group.rewards_G, dtype=np.float64) for group in groups_P]
        return SCALES[self.scale](BASELINES[self.baseline](rewards_P_G))

    def token_weights(self, groups_P: Sequence[TrajectoryGroup]) -> list[NDArray[np.float64]]:
        """What each sampled token of each trajectory counts in the loss: one array over members a group."""
        import numpy as np

        from tinkery_rl.advantages import LENGTH_NORMALISATIONS

        lengths_P_G = [
            np.array([trajectory.num_action_tokens for trajectory in group.trajectories_G], dtype=np.int64)
            for group in groups_P
        ]
        return LENGTH_NORMALISATIONS[self.length_normalisation](lengths_P_G)
