"""The service of a run, for models that take part in its environments: judges and opponents."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tinkery_core.errors import UserError

if TYPE_CHECKING:
    import tinker


class NotConnected(UserError):
    """A model was to be asked where no run is connected to a service."""


class RunService:
    """Datasets are built before a run connects, so they hold this, and ask it once there is something to ask.

    A pickled copy is not connected: what asks a model from another process has to be given a client there.
    """

    def __init__(self) -> None:
        self._service: tinker.ServiceClient | None = None
        self._samplers: dict[tuple[str, str | None], tinker.SamplingClient] = {}
        self._creating = asyncio.Lock()

    def connect(self, service: tinker.ServiceClient) -> None:
        """From here on samplers can be had."""
        self._service = service

    async def sampling_client(self, model_name: str, path: str | None = None) -> tinker.SamplingClient:
        """A client that samples from a model, or from its sampler weights at `path`, tinker://…; one for all callers.

        Raises NotConnected where no run is.
        """
        async with self._creating:
            if self._service is None:
                raise NotConnected(
                    f"{path or model_name} cannot be asked: no service is connected here.\n"
                    "A model takes part in environments while a run trains, not in a dry run or a check."
                )
            if (model_name, path) not in self._samplers:
                create = self._service.create_sampling_client
                self._samplers[model_name, path] = await (
                    create(base_model=model_name) if path is None else create(model_path=path)
                )
            return self._samplers[model_name, path]

    def __reduce__(self) -> tuple[type[RunService], tuple[()]]:
        return RunService, ()
