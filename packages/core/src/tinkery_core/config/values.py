"""A config object as plain data: what config.json holds, and what rebuilds an equal object."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path, PurePath
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
        # In an order of its own: chz keeps none among objects by name.
        return {key: _plain(value[key]) for key in sorted(value)}
    if is_list(value):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value


def target_name(cls: type) -> str:
    """What a YAML writes as `_target_` for this class."""
    return f"{importable_name(cls.__module__)}.{cls.__qualname__}"


def importable_name(module: str) -> str:
    """The name that imports a module, also of the one that was started as a program."""
    main = sys.modules["__main__"]
    if module != "__main__" or main.__file__ is None:
        return module
    return main.__spec__.name if main.__spec__ is not None else Path(main.__file__).stem


def values_to_yaml(values: Mapping[str, Any]) -> str:
    return OmegaConf.to_yaml(OmegaConf.create(dict(values)))
