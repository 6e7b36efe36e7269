"""Each key of a config: its value, type, documentation, and where the value comes from."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import chz

from tinkery_core.config.convert import chz_classes, chz_classes_of_items, describe, show
from tinkery_core.config.fields import Field, default, doc, has_default
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
    for name, field in chz.chz_fields(type(config)).items():
        key, value = f"{prefix}{name}", getattr(config, f"X_{name}")
        if chz_classes_of_items(field.x_type) and value:
            for item_name, item in sorted(value.items()):
                yield from _explain_item(f"{key}.{item_name}", item, field, sources)
            continue
        is_object = chz.is_chz(value)
        yield Row(
            key=key,
            value=type(value).__name__ if is_object else show(value),
            type=describe(field.x_type),
            doc=doc(field),
            source=sources.of(f"{key}.{TARGET}" if is_object else key),
        )
        if is_object:
            yield from explain(value, sources, f"{key}.")


def _explain_item(key: str, item: object, field: Field, sources: Sources) -> Generator[Row]:
    """Rows for one of the chz objects in a mapping."""
    yield Row(
        key=key,
        value=type(item).__name__,
        type=describe(chz_classes_of_items(field.x_type)[0]),
        doc=doc(field),
        source=sources.of(f"{key}.{TARGET}"),
    )
    yield from explain(item, sources, f"{key}.")


def explain_class(cls: type, prefix: str = "", around: tuple[type, ...] = ()) -> Generator[Row]:
    """Rows for the fields of a class without a config at hand, with defaults as values.

    `around` holds the classes that the key lies in: one that contains itself is not followed down again.
    """
    for name, field in chz.chz_fields(cls).items():
        key = f"{prefix}{name}"
        value = default(field)
        shown = "…" if chz.is_chz(value) else show(value) if has_default(field) else ""
        yield Row(key, shown, describe(field.x_type), doc(field), DEFAULT)
        for inner in chz_classes(field.x_type):
            if inner not in (*around, cls):
                yield from explain_class(inner, f"{key}.", (*around, cls))
