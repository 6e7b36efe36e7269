"""From composed YAML to a config object: every value is checked against the chz class it belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import chz
from omegaconf import OmegaConf

from tinkery_core.config.checks import InvalidValue
from tinkery_core.config.compose import Composed
from tinkery_core.config.convert import (
    Mismatch,
    chz_classes,
    chz_classes_of_items,
    convert,
    describe,
    kind,
    show,
)
from tinkery_core.config.explain import explain_class
from tinkery_core.config.fields import default, doc, has_default
from tinkery_core.config.sources import Layer, Sources, leaf_keys
from tinkery_core.config.suggest import did_you_mean
from tinkery_core.config.targets import import_target, is_concrete
from tinkery_core.config.values import TARGET, blueprint_values, is_mapping
from tinkery_core.errors import UserError

ConfigT = TypeVar("ConfigT")

_ITEM_NAME = re.compile(r"[A-Za-z0-9_-]+")


def resolve(config_class: type[ConfigT], composed: Composed) -> ConfigT:
    """Build the config object. Raises UserError naming the key, its value, its source and what was expected.

    Each source is a layer of its own in a `chz.Blueprint`, so chz too knows where a value comes from.
    """
    resolver = _Resolver(composed.sources)
    resolver.fill(config_class, composed.values, "")
    resolver.refuse_missing()
    blueprint: chz.Blueprint[ConfigT] = chz.Blueprint(config_class)
    order = [layer.name for layer in composed.sources.layers]
    for source in sorted(resolver.arguments, key=lambda name: order.index(name) if name in order else -1):
        blueprint.apply(resolver.arguments[source], layer_name=source)
    try:
        return blueprint.make()
    except ValueError as error:
        raise _blame(resolver, error) from error


def rebuild(file: Path, base: type[ConfigT]) -> ConfigT:
    """The config object that a run folder's config.json or config.yaml records; `base` is its class or a base of it.

    Raises UserError if the file does not fit the classes, for example because those have changed since.
    """
    values: Any = OmegaConf.to_container(OmegaConf.load(file))
    sources = Sources([Layer(str(file), frozenset(leaf_keys(values)))])
    cls: Any = import_target(values[TARGET], (base,), TARGET, str(file)) if TARGET in values else base
    return resolve(cls, Composed(values, sources))


class _Resolver:
    """Walks the composed values along the fields of the classes, and collects blueprint arguments by source."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.arguments: dict[str, dict[str, Any]] = {}
        self.missing: list[str] = []

    def set(self, key: str, value: Any) -> None:
        self.arguments.setdefault(self.sources.of(key), {})[key] = value

    def fill(self, cls: type, values: Mapping[str, Any], prefix: str) -> None:
        """Arguments for the fields of one chz class."""
        fields = chz.chz_fields(cls)
        for name in values:
            if name not in fields and name != TARGET:
                raise self.unknown(cls, name, prefix)
        for name, field in fields.items():
            key = f"{prefix}{name}"
            if name in values:
                self.fill_field(field, values[name], key)
            elif not has_default(field):
                self.fill_required(field, key)

    def fill_field(self, field: Any, value: Any, key: str) -> None:
        classes = chz_classes(field.x_type)
        if classes and is_mapping(value):
            self.fill_object(classes, default(field), value, key)
            return
        classes_of_items = chz_classes_of_items(field.x_type)
        if classes_of_items and is_mapping(value):
            for name, item in value.items():
                self.fill_item(classes_of_items, name, item, key)
            return
        try:
            self.set(
                key, convert(value, field.x_type, lambda target, expected: self.target(target, expected, key))
            )
        except Mismatch as mismatch:
            raise self.wrong_type(field, value, key, mismatch) from None

    def fill_object(self, classes: tuple[type, ...], usual: Any, values: Mapping[str, Any], key: str) -> None:
        """Arguments for a chz object of one of `classes`; `usual` is the field's default."""
        cls, values = self.choose_class(classes, usual, values, key)
        self.set(key, cls)
        self.fill(cls, values, f"{key}.")

    def fill_item(self, classes: tuple[type, ...], name: object, value: Any, key: str) -> None:
        """Arguments for one of the chz objects in a mapping from names to such."""
        if not isinstance(name, str) or not _ITEM_NAME.fullmatch(name):
            raise UserError(
                f"{key} ({self.sources.of_mention(key)}): {name!r} is no name there. Use letters, digits, - and _."
            )
        item = f"{key}.{name}"
        if not is_mapping(value):
            names = " or ".join(cls.__name__ for cls in classes)
            raise UserError(
                f"{item}={show(value)} ({self.sources.of(item)}): expected {names}, got {kind(value)}.\n"
                f"Type {item}.{TARGET}=… with the name of a class."
            )
        self.fill_object(classes, None, value, item)

    def choose_class(
        self, classes: tuple[type, ...], usual: Any, values: Mapping[str, Any], key: str
    ) -> tuple[type, Mapping[str, Any]]:
        """The class that `_target_` names, or else that of the field's default, whose other values are kept."""
        if TARGET in values:
            return self.target(values[TARGET], classes, key), values
        if chz.is_chz(usual) and not isinstance(usual, type):
            return usual.__class__, {**blueprint_values(usual), **values}
        concrete = [cls for cls in classes if is_concrete(cls)]
        if len(concrete) != 1:
            names = " or ".join(cls.__name__ for cls in classes)
            raise UserError(
                f"{key} ({self.sources.of_mention(key)}) does not say which {names} it is.\n"
                f"Type {key}=… to choose one, or add {key}.{TARGET}=… with the name of a class."
            )
        return concrete[0], values

    def target(self, target: object, expected: tuple[type, ...], key: str) -> type:
        return import_target(target, expected, f"{key}.{TARGET}", self.sources.of(f"{key}.{TARGET}"))

    def fill_required(self, field: Any, key: str) -> None:
        """A field without value and default: made of its class if that has defaults for all, else missing."""
        if is_concrete(field.x_type):
            self.fill_field(field, {}, key)
        else:
            self.missing.append(f"{key} ({describe(field.x_type)}): {doc(field)}")

    def refuse_missing(self) -> None:
        if self.missing:
            first = self.missing[0].partition(" ")[0]
            raise UserError(
                "Not set, and without a default:\n  " + "\n  ".join(self.missing) + f"\nType {first}=…"
            )

    def unknown(self, cls: type, name: str, prefix: str) -> UserError:
        siblings = chz.chz_fields(cls)
        guess = did_you_mean(name, siblings, prefix)
        if not guess:
            elsewhere = [row.key for row in explain_class(cls, prefix) if row.key.endswith(f".{name}")]
            guess = f" Did you mean {elsewhere[0]}?" if elsewhere else ""
        listing = "" if guess else f"\nKeys there: {', '.join(prefix + sibling for sibling in siblings)}"
        key = f"{prefix}{name}"
        return UserError(
            f"{key} ({self.sources.of_mention(key)}): there is no such key in {cls.__name__}.{guess}{listing}"
        )

    def wrong_type(self, field: Any, value: Any, key: str, mismatch: Mismatch) -> UserError:
        usual = f" The default is {show(default(field))}." if has_default(field) else ""
        return UserError(
            f"{key}={show(value)} ({self.sources.of(key)}): expected {describe(field.x_type)}, got {mismatch.got}."
            f"{mismatch.hint}{usual}"
        )


def _blame(resolver: _Resolver, error: ValueError) -> UserError:
    """Name the key that a validator refused: it is in the deepest object that cannot be made alone."""
    arguments = {key: value for layer in resolver.arguments.values() for key, value in layer.items()}
    objects = sorted(
        (key for key in arguments if isinstance(arguments[key], type)), key=lambda key: -key.count(".")
    )
    broken = next((key for key in objects if not _can_be_made(key, arguments)), "")
    if isinstance(error, InvalidValue):
        key = f"{broken}.{error.field}" if broken else error.field
        return UserError(
            f"{key}={show(error.value)} ({resolver.sources.of(key)}): expected {error.expected}."
        )
    return UserError(f"{broken or 'This config'}: {error}")


def _can_be_made(key: str, arguments: Mapping[str, Any]) -> bool:
    prefix = f"{key}."
    inner = {path.removeprefix(prefix): arguments[path] for path in arguments if path.startswith(prefix)}
    try:
        chz.Blueprint(arguments[key]).apply(inner).make()
    except ValueError:
        return False
    return True
