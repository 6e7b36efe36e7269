"""Hydra's loader of YAML, taught that chz owns the keys, and to tell its sources apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.utils import create_config_search_path
from hydra.conf import HydraConf
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.utils import setup_globals
from hydra.errors import ConfigCompositionException, MissingConfigException
from hydra.types import RunMode
from hydra_plugins.tinkery_search_path import WORKING_DIRECTORY
from omegaconf import DictConfig, OmegaConf, open_dict

from tinkery_core.config.sources import COMMAND_LINE, Layer, leaf_keys

EXPERIMENT = "experiment"
MAIN = "main"
"""Hydra's name for the package of the primary config."""
CONFIG_DIR = "--config-dir"
_MAX_JOB_NAME = 120


class LayeredLoader(ConfigLoaderImpl):
    """Hydra's loader, but a key need not stand in a YAML to be set, and each layer can be looked at.

    The chz classes know which keys there are and own their defaults, so a key that no YAML mentions is not an error
    to Hydra (`seed=1` works like `++seed=1`); a key that no class knows is an error later, with a better message.
    """

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> tuple[list[Override], CachingConfigRepository]:
        parsed, repository = super()._parse_overrides_and_create_caching_repo(config_name, overrides)
        for override in parsed:
            names_group = repository.group_exists(override.key_or_group)
            if override.type is OverrideType.CHANGE and not names_group and not override.is_hydra_override():
                override.type = OverrideType.FORCE_ADD
        return parsed, repository

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        try:
            return super().load_configuration(
                config_name, overrides, run_mode, from_shell, validate_sweep_overrides
            )
        except MissingConfigException as error:
            group = (error.missing_cfg_file or "").rpartition("/")[0]
            error.options = self.get_group_options(group) if group else None
            raise
        except ValueError as error:  # Hydra's way to say that a group's choice is no text
            raise ConfigCompositionException(str(error)) from None

    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        """Experiments are recipes for one script, so those of other installed packages are not listed."""
        if config_name is None and not overrides:  # the parent's way costs a copy of all sources a call
            options = self.repository.get_group_options(group_name, results_filter)
        else:
            options = super().get_group_options(group_name, results_filter, config_name, overrides)
        if group_name != EXPERIMENT:
            return options
        own = [
            source
            for source in self.get_sources()
            if source.provider in (MAIN, WORKING_DIRECTORY, CONFIG_DIR)
        ]
        return [
            option for option in options if any(source.is_config(f"{group_name}/{option}") for source in own)
        ]

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        config = super().load_sweep_config(master_config, sweep_overrides)
        typed = OverridesParser.create().parse_overrides(typed_overrides(master_config.hydra).task)
        fixed = {override.get_key_element() for override in typed if not override.is_sweep_override()}
        with open_dict(config):
            config.hydra.sweep.subdir = job_name(
                [override for override in sweep_overrides if override.partition("=")[0] not in fixed]
            )
        return config

    def layers(self, config_name: str, overrides: list[str]) -> list[Layer]:
        """Keys that each YAML file sets, in the order of composition, then those of the command line."""
        defaults = self.compute_defaults_list(config_name, overrides, RunMode.RUN)
        _, repository = self._parse_overrides_and_create_caching_repo(config_name, overrides)
        layers: list[Layer] = []
        for default in defaults.defaults:
            if default.config_path is None or default.config_path.startswith("hydra/"):
                continue
            loaded = self._load_single_config(default, repository)
            values = OmegaConf.to_container(loaded.config, resolve=False)
            name = f"{_shorten(loaded.path)}/{default.config_path}.yaml"
            layers.append(Layer(name, frozenset(leaf_keys(values))))
        typed = [override for override in defaults.config_overrides if not override.is_delete()]
        keys = {key for override in typed for key in leaf_keys(override.value(), override.key_or_group)}
        return [*layers, Layer(COMMAND_LINE, frozenset(keys))]


@dataclass(frozen=True)
class TypedOverrides:
    """What was typed for Hydra itself and for the script."""

    hydra: list[str]
    task: list[str]


def typed_overrides(hydra: DictConfig | HydraConf) -> TypedOverrides:
    """The overrides as they were typed: OmegaConf would resolve `${…}` in them."""
    overrides: Any = OmegaConf.to_container(hydra.overrides, resolve=False)
    return TypedOverrides(overrides["hydra"], overrides["task"])


def _shorten(path: str) -> str:
    scheme, _, rest = path.partition("://")
    if scheme == "file" and Path(rest).is_relative_to(Path.cwd()):
        return str(Path(rest).relative_to(Path.cwd()))
    return rest


def job_name(overrides: Sequence[str]) -> str:
    """A folder name for one job of a sweep, made of the overrides that tell it from the others."""
    plain = "__".join(sorted(overrides)) or "single"
    name = re.sub(r"[^A-Za-z0-9_=.-]", "_", plain)
    if name == plain and len(name) <= _MAX_JOB_NAME:
        return name
    return f"{name[:_MAX_JOB_NAME]}-{sha256(plain.encode()).hexdigest()[:8]}"


def make_loader(conf: str, config_dir: str | None) -> LayeredLoader:
    """A loader for the primary configs of package `conf`; files of `config_dir` win over installed ones."""
    setup_globals()
    search_path = create_config_search_path(f"pkg://{conf}")
    if config_dir is not None:
        search_path.prepend(provider=CONFIG_DIR, path=f"file://{Path(config_dir).resolve()}")
    return LayeredLoader(search_path)
