"""Adam and the schedule of its learning rate, all of it configuration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import chz

from tinkery_core.config.checks import at_least

if TYPE_CHECKING:
    import tinker


@chz.chz
class OptimizerConfig:
    """Adam with decoupled weight decay. The peak learning rate is the script's own key, `learning_rate`."""

    beta1: float = chz.field(default=0.9, doc="decay of the gradient's running mean")
    beta2: float = chz.field(default=0.95, doc="decay of the squared gradient's running mean")
    eps: float = chz.field(
        default=1e-12, doc="added to the root; tiny, as normalised advantages make tiny gradients"
    )
    weight_decay: float = chz.field(
        default=0.0, validator=at_least(0), doc="decoupled decay, multiplied by the rate"
    )
    grad_clip_norm: float = chz.field(
        default=0.0, validator=at_least(0), doc="bound of the gradient's norm; 0 is none"
    )
    schedule: Literal["constant", "linear", "cosine"] = chz.field(
        default="constant", doc="how the learning rate falls after the warm-up"
    )
    warmup_steps: int = chz.field(
        default=0, validator=at_least(0), doc="steps over which the rate rises linearly"
    )
    final_fraction: float = chz.field(
        default=0.0, validator=at_least(0), doc="share of the peak rate that linear and cosine end at"
    )

    def learning_rate(self, peak: float, step: int, num_steps: int) -> float:
        r"""Learning rate of step 0 ≤ `step` < `num_steps`.

        Warm-up: $\eta_k = \eta (k + 1) / W$ for $k < W$, so that no step has rate 0. Then, with $x = (k - W)
        / (N - W)$ from 0 to just under 1: $\eta (f + (1 - f) g(x))$ where $g$ is $1 - x$ (linear) or $(1 +
        \cos \pi x) / 2$ (cosine) and $f$ the final fraction.
        """
        if step < self.warmup_steps:
            return peak * (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return peak
        progress = (step - self.warmup_steps) / max(num_steps - self.warmup_steps, 1)
        falling = 1 - progress if self.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return peak * (self.final_fraction + (1 - self.final_fraction) * falling)

    def adam_params(self, learning_rate: float) -> tinker.AdamParams:
        """The service's parameters of one optimizer step."""
        import tinker

        return tinker.AdamParams(
            learning_rate=learning_rate,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.eps,
            weight_decay=self.weight_decay,
            grad_clip_norm=self.grad_clip_norm,
        )
