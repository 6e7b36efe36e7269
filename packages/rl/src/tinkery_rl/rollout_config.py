"""How far a rollout may go, and what happens when an environment fails."""

from __future__ import annotations

import chz
from tinkery_core.config.checks import at_least, more_than


@chz.chz
class RolloutConfig:
    """Bounds on rollouts. A bound that cuts an episode short keeps what was played; one on time is a failure."""

    max_concurrent_groups: int = chz.field(
        default=1024, validator=at_least(1), doc="groups that are played at the same time"
    )
    max_turns: int | None = chz.field(
        default=None, validator=at_least(1), doc="turns after which an episode is cut short; null is no bound"
    )
    max_episode_tokens: int | None = chz.field(
        default=None,
        validator=at_least(1),
        doc="tokens, prompt and answers together, beyond which an episode takes no further turn; null is no bound",
    )
    max_episode_seconds: float | None = chz.field(
        default=None,
        validator=more_than(0),
        doc="seconds after which an episode has failed; null is no bound",
    )
    max_call_seconds: float = chz.field(
        default=300.0,
        validator=more_than(0),
        doc="seconds after which one call to an environment (a step, a grading, a cleanup) has failed",
    )
    retries: int = chz.field(
        default=0, validator=at_least(0), doc="how often a failed group is played again with fresh envs"
    )
    min_alive: float = chz.field(
        default=1.0,
        validator=more_than(0),
        doc="share of a group's members that have to come through; 1 ends the run at a failure, less leaves "
        "failed members out of their group, and groups with too few out of the batch",
    )

    @chz.validate
    def _share_is_at_most_all(self) -> None:
        if self.min_alive > 1:
            raise ValueError(f"rollouts.min_alive is a share of a group, at most 1, got {self.min_alive}")
