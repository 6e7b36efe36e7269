"""Training modes: each decides which trajectory groups enter which step, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import chz

if TYPE_CHECKING:
    from tinkery_rl.session import Session


@chz.chz
class Mode(ABC):
    """Configuration of a mode."""

    @abstractmethod
    async def __call__(self, session: Session) -> None:
        """Train on batches `session.first_step` to `session.num_steps - 1`."""


@chz.chz
class OnPolicy(Mode):
    """Each step trains on one batch, sampled from exactly the policy that it updates."""

    async def __call__(self, session: Session) -> None:
        from tinkery_rl.on_policy import train_on_policy

        await train_on_policy(session)
