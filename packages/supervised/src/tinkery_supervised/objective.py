"""What a batch is trained on. The trainer knows no more of it than this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import tinker

BatchT_contra = TypeVar("BatchT_contra", contravariant=True)


class Pending(Protocol):
    """Calls in flight at the service."""

    async def metrics(self) -> dict[str, float]:
        """Wait for the service, then report. Raises the SDK's error if a call failed."""
        ...


class Objective(Protocol[BatchT_contra]):
    """Sends calls to the service and does not wait for them, so that it always has the next ones in its queue."""

    async def enqueue_update(self, batch: BatchT_contra, adam: tinker.AdamParams) -> Pending:
        """Enqueue the gradient of a batch and one optimizer step."""
        ...

    async def enqueue_test(self) -> Pending:
        """Enqueue the measurement of the weights, as they are at this place in the queue, on held-out data."""
        ...
