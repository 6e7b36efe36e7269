"""Training modes: each decides which trajectory groups enter which step, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import chz
from tinkery_core.config.checks import at_least

if TYPE_CHECKING:
    from tinkery_rl.session import Session


@chz.chz
class Mode(ABC):
    """Configuration of a mode."""

    @abstractmethod
    async def __call__(self, session: Session) -> None:
        """Train on batches `session.first_step` to `session.num_steps - 1`."""

    @property
    def is_off_policy(self) -> bool:
        """Whether a batch may have been sampled by an older policy than the one that it updates."""
        return False


@chz.chz
class OnPolicy(Mode):
    """Each step trains on one batch, sampled from exactly the policy that it updates."""

    async def __call__(self, session: Session) -> None:
        from tinkery_rl.on_policy import train_on_policy

        await train_on_policy(session)


@chz.chz
class Streamed(Mode):
    """On-policy, and each minibatch is trained on while the rest of its batch is still played."""

    num_minibatches: int = chz.field(
        default=4,
        validator=at_least(1),
        doc="passes that a batch is split into; one optimizer step applies all",
    )
    in_order: bool = chz.field(
        default=False,
        doc="fill minibatches in the dataset's order, so that equal runs are equal to the bit; false takes groups "
        "as they end",
    )

    async def __call__(self, session: Session) -> None:
        from tinkery_rl.streamed import train_streamed

        await train_streamed(session, self.num_minibatches, self.in_order)


@chz.chz
class OffPolicy(Mode):
    """The next batches are played while a step trains, by policies that are a few steps old."""

    max_steps_off_policy: int = chz.field(
        default=1,
        validator=at_least(1),
        doc="steps by which the policy that sampled may be older than the one that trains",
    )

    @property
    def is_off_policy(self) -> bool:
        return True

    async def __call__(self, session: Session) -> None:
        from tinkery_rl.off_policy import train_off_policy

        await train_off_policy(session, self.max_steps_off_policy)
