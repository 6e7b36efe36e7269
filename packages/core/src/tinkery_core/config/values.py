"""A config object as plain data: what config.json holds, and what rebuilds an equal object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, TypeGuard

import chz
from omegaconf import OmegaConf

TARGET = "_target_"


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """A mapping of plain data, whose keys are strings."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(value, list | tuple)


def blueprint_values(config: object) -> dict[str, Any]:
    """Every field of a chz object, nested, with the class of each chz value named by `_target_`."""
    values: dict[str, Any] = {TARGET: target_name(type(config))}
    for name in chz.chz_fields(type(config)):
        # A field's value as it was given, before a munger changed it: this is what rebuilds the object.
        values[name] = _plain(getattr(config, f"X_{name}"))
    return values


def _plain(value: Any) -> Any:
    if chz.is_chz(value):
        return blueprint_values(value)
    if is_mapping(value):
        return {key: _plain(item) for key, item in value.items()}
    if is_list(value):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value


def target_name(cls: type) -> str:
    """What a YAML writes as `_target_` for this class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def values_to_yaml(values: Mapping[str, Any]) -> str:
    return OmegaConf.to_yaml(OmegaConf.create(dict(values)))
