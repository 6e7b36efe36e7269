"""Which Tinker service a run uses: an embedded server of its own, the hosted one, or any other by its URL."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import chz

from tinkery_core.config.checks import more_than
from tinkery_core.errors import UserError

if TYPE_CHECKING:
    import tinker


class Service(Protocol):
    """A service that a backend opened for one run."""

    def connect(self) -> AbstractAsyncContextManager[tinker.ServiceClient]:
        """A client. If the service is lost inside the `async with`, its body is cancelled: ServiceError."""
        ...

    async def rest_client(self) -> tinker.RestClient:
        """What describes and deletes checkpoints at the service, while `connect` holds it."""
        ...

    def close(self) -> None:
        """Stop what the backend started. Waits for saves in progress, with a bound."""
        ...


@chz.chz
class Backend(ABC):
    """Base of all backends."""

    start_timeout_s: float = chz.field(
        default=120.0, validator=more_than(0), doc="seconds to wait for the service's first answer"
    )
    patience_s: float = chz.field(
        default=300.0, validator=more_than(0), doc="seconds without any answer after which the run fails"
    )

    @abstractmethod
    def check(self) -> None:
        """Raise UserError if this backend cannot work here. Called before anything is created or started."""

    @abstractmethod
    def describe(self) -> str:
        """A few words for the header of a run."""

    @abstractmethod
    def __call__(self, run_dir: Path, models: Sequence[str], also_stores: Sequence[Path] = ()) -> Service:
        """Start what has to be started, without waiting for it, so that imports go on meanwhile.

        `also_stores` are folders with checkpoints of other runs, for a service that reads such folders.
        """


@chz.chz
class LocalBackend(Backend):
    """An embedded server for this run alone, or, with `base_url`, a Tinker server that runs already."""

    base_url: str | None = chz.field(
        default=None, doc="address of a server that runs already; null starts one for the run"
    )
    store: str | None = chz.field(
        default=None, doc="folder where the server keeps checkpoints; null is `store` in the run folder"
    )

    def check(self) -> None:
        from tinkery_core.local_service import find_server

        if self.base_url is None:
            find_server()

    def describe(self) -> str:
        return "embedded server" if self.base_url is None else self.base_url

    def __call__(self, run_dir: Path, models: Sequence[str], also_stores: Sequence[Path] = ()) -> Service:
        from tinkery_core.local_service import LocalService
        from tinkery_core.remote_service import LOOPBACK_KEY, RemoteService

        if self.base_url is not None:
            key = os.environ.get("TINKER_API_KEY", LOOPBACK_KEY)
            return RemoteService(self.base_url, key, self.start_timeout_s, self.patience_s)
        store = run_dir / "store" if self.store is None else Path(self.store).expanduser()
        stores = [store, *also_stores]
        return LocalService(models, stores, run_dir / "server.log", self.start_timeout_s, self.patience_s)


@chz.chz
class HostedBackend(Backend):
    """The Tinker service, with the key in TINKER_API_KEY or stored by `tinker auth login`."""

    base_url: str | None = chz.field(default=None, doc="address of the service; null is the SDK's own")

    def check(self) -> None:
        stored = Path("~/.tinker/credentials.json").expanduser()
        if not (
            os.environ.get("TINKER_API_KEY") or os.environ.get("TINKER_CREDENTIAL_CMD") or stored.exists()
        ):
            raise UserError(
                "backend=hosted needs a key of the Tinker service, and TINKER_API_KEY is not set.\n"
                "Type `export TINKER_API_KEY=tml-…` first, or backend=local to train on this machine without a key."
            )

    def describe(self) -> str:
        return self.base_url or "hosted service"

    def __call__(self, run_dir: Path, models: Sequence[str], also_stores: Sequence[Path] = ()) -> Service:
        from tinkery_core.remote_service import RemoteService

        return RemoteService(self.base_url, None, self.start_timeout_s, self.patience_s)
