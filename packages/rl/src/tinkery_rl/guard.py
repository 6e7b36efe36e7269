"""A guard against a sampler and a trainer that are not the same policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import chz
from tinkery_core.config.checks import more_than

KEY = "optim/kl_sample_train_k3"


class PolicyMismatch(Exception):
    """Sampler and trainer disagree beyond the configured bound."""


@chz.chz
class Guard:
    """Watches an estimate of the divergence between the policy that sampled and the one that trains.

    On-policy it is rounding noise. A large value means that the service samples from other weights or other
    numbers than it trains, or, off-policy, that the data is too old.
    """

    max_kl: float = chz.field(
        default=0.2, validator=more_than(0), doc="bound of optim/kl_sample_train_k3, in nats a token"
    )
    action: Literal["stop", "warn", "off"] = chz.field(default="warn", doc="what happens above the bound")

    def check(self, step: int, metrics: Mapping[str, float]) -> str | None:
        """A warning for the console, if there is one. Raises PolicyMismatch where the action is `stop`."""
        kl = metrics.get(KEY)
        if self.action == "off" or kl is None or kl <= self.max_kl:
            return None
        text = (
            f"step {step}: sampler and trainer are {kl:.3g} nats a token apart ({KEY}), "
            f"above guard.max_kl={self.max_kl:g}."
        )
        if self.action == "warn":
            return text
        raise PolicyMismatch(
            f"{text}\nLower learning_rate or the age of the data, or set guard.action=warn to train on."
        )
