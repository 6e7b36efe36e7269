"""What chz knows of a field, part of which it keeps to itself."""

from __future__ import annotations

from typing import Any

Field = Any
"""A `chz.field.Field`; its documentation and default are private there."""


def doc(field: Field) -> str:
    return field._doc


def has_default(field: Field) -> bool:
    return not (_is_missing(field._default) and _is_missing(field._default_factory))


def default(field: Field) -> Any:
    """The default, made anew by a factory; None if there is none."""
    if not _is_missing(field._default):
        return field._default
    return None if _is_missing(field._default_factory) else field._default_factory()


def _is_missing(value: object) -> bool:
    return type(value).__name__ == "MISSING_TYPE"
