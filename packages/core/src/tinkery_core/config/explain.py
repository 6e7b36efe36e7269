"""Each key of a config: its value, type, documentation, and where the value comes from."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import chz

from tinkery_core.config.convert import chz_classes, describe, show
from tinkery_core.config.sources import DEFAULT, Sources
from tinkery_core.config.values import TARGET


@dataclass(frozen=True)
class Row:
    key: str
    value: str
    type: str
    doc: str
    source: str


def explain(config: object, sources: Sources, prefix: str = "") -> Generator[Row]:
    """Rows for all fields, depth first; a field that holds a chz object has a row for its class."""
    for name, field in _fields(type(config)):
        key, value = f"{prefix}{name}", getattr(config, f"X_{name}")
        is_object = chz.is_chz(value)
        yield Row(
            key=key,
            value=type(value).__name__ if is_object else show(value),
            type=describe(field.x_type),
            doc=field._doc,
            source=sources.of(f"{key}.{TARGET}" if is_object else key),
        )
        if is_object:
            yield from explain(value, sources, f"{key}.")


def explain_class(cls: type, prefix: str = "") -> Generator[Row]:
    """Rows for the fields of a class without a config at hand; the value is the default."""
    for name, field in _fields(cls):
        key = f"{prefix}{name}"
        yield Row(key, _default(field), describe(field.x_type), field._doc, DEFAULT)
        for inner in chz_classes(field.x_type):
            yield from explain_class(inner, f"{key}.")


def _fields(cls: type) -> list[tuple[str, Any]]:
    return list(chz.chz_fields(cls).items())


def _default(field: Any) -> str:
    missing = "MISSING_TYPE"
    if type(field._default).__name__ != missing:
        return show(field._default)
    return "" if type(field._default_factory).__name__ == missing else "…"
