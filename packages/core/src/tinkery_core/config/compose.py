"""What a config says when its YAML files and overrides are composed, and which of them said it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobRuntime
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from tinkery_core.config.hydra_errors import as_user_errors
from tinkery_core.config.loader import LayeredLoader
from tinkery_core.config.sources import Layer, Sources


@dataclass(frozen=True)
class Composed:
    """A composed config with its interpolations resolved, and where its values come from."""

    values: dict[str, Any]
    sources: Sources

    @property
    def yaml(self) -> str:
        return OmegaConf.to_yaml(OmegaConf.create(self.values))


def compose(loader: LayeredLoader, config_name: str, script: str, overrides: list[str]) -> Composed:
    """Compose for one run. Raises UserError for whatever Hydra has to say against it."""
    with as_user_errors():
        JobRuntime.instance().set("name", script)
        config = loader.load_configuration(config_name, overrides, RunMode.RUN)
        HydraConfig.instance().set_config(config)
        return resolve_interpolations(config, loader.layers(config_name, overrides))


def resolve_interpolations(config: DictConfig, layers: list[Layer]) -> Composed:
    """The task's part of a composed config as plain data. Raises OmegaConf's errors."""
    task = deepcopy(config)
    with read_write(task), open_dict(task):
        task.pop("hydra", None)
    values: Any = OmegaConf.to_container(task, resolve=True, throw_on_missing=True)
    return Composed(values, Sources(layers))
