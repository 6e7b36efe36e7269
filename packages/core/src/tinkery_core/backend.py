"""Which Tinker service a run uses: an embedded server of its own, the hosted one, or any other by its URL."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import chz
from tinkery_core.config.checks import more_than

if TYPE_CHECKING:
    import tinker


class Service(Protocol):
    """A service that a backend opened for one run."""

    def connect(self) -> AbstractAsyncContextManager[tinker.ServiceClient]:
        """A client of the service. If the service dies inside the `async with`, its body is cancelled and
        ServiceError raised."""
        ...

    def close(self) -> None:
        """Stop what the backend started. Waits for saves in progress, with a bound."""
        ...


@chz.chz
class Backend:
    """Base of all backends: `backend()` opens the service for one run, without waiting for it."""

    @abstractmethod
    def __call__(self, run_dir: Path) -> Service:
        """Start what has to be started, at once and without waiting, so that imports go on meanwhile."""
        raise TypeError(f"{type(self).__name__} is abstract: choose backend=local or backend=hosted")


@chz.chz
class LocalBackend(Backend):
    """An embedded server for this run alone, or, with `base_url`, a Tinker server that runs already."""

    base_url: str | None = chz.field(
        default=None, doc="address of a server that runs already; null starts one for the run"
    )
    store: str | None = chz.field(
        default=None, doc="folder where the server keeps checkpoints; null is `store` in the run folder"
    )
    start_timeout_s: float = chz.field(
        default=120.0, validator=more_than(0), doc="seconds to wait for the server to be ready"
    )


@chz.chz
class HostedBackend(Backend):
    """The Tinker service, with the key in TINKER_API_KEY."""

    base_url: str | None = chz.field(default=None, doc="address of the service; null is the SDK's own")
