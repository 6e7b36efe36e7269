"""Plain values of a YAML against the annotated type of a field: strict, but an int is a fine float."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import chz
from chz import tiepin

from tinkery_core.config.suggest import did_you_mean
from tinkery_core.config.values import TARGET, is_list, is_mapping, target_name

FindTarget = Callable[[object, tuple[type, ...]], type]


class Mismatch(Exception):
    """The value is not of the type. `got` says what it is, `hint` what may have been meant."""

    def __init__(self, got: str, hint: str = "") -> None:
        super().__init__(got)
        self.got = got
        self.hint = hint


def convert(value: Any, annotation: Any, find_target: FindTarget) -> Any:
    """The value as the annotated type. Raises Mismatch.

    A mapping in a list or dict becomes a chz object where the element type is one; `find_target` gives its class.
    """
    origin, args = get_origin(annotation) or annotation, get_args(annotation)
    if origin in (Union, types.UnionType):
        return _convert_to_any_of(value, args, find_target)
    if origin is Literal:
        return _one_of(value, args)
    if origin is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is Path and isinstance(value, str):
        return Path(value)
    if origin in (list, tuple, Sequence) and is_list(value):
        return _convert_items(value, origin, args, find_target)
    if origin in (dict, Mapping) and is_mapping(value):
        item_type = args[1] if args else object
        return {key: convert(item, item_type, find_target) for key, item in value.items()}
    if chz.is_chz(origin) and is_mapping(value):
        cls = find_target(value.get(TARGET), (origin,)) if TARGET in value else origin
        return _make(cls, value, find_target)
    is_stray_bool = isinstance(value, bool) and origin in (int, float)
    if is_stray_bool or not tiepin.is_subtype_instance(value, annotation):
        raise Mismatch(kind(value))
    return value


def _convert_to_any_of(value: Any, members: tuple[Any, ...], find_target: FindTarget) -> Any:
    mismatches: list[Mismatch] = []
    for member in members:
        try:
            return convert(value, type(None) if member is None else member, find_target)
        except Mismatch as mismatch:
            mismatches.append(mismatch)
    raise mismatches[0]


def _one_of(value: Any, options: tuple[Any, ...]) -> Any:
    if value not in options or isinstance(value, bool) not in {
        isinstance(option, bool) for option in options
    }:
        raise Mismatch(kind(value), did_you_mean(str(value), map(str, options)))
    return value


def _convert_items(value: Sequence[Any], origin: Any, args: tuple[Any, ...], find_target: FindTarget) -> Any:
    if origin is tuple and args and args[-1] is not ...:
        if len(value) != len(args):
            raise Mismatch(f"{len(value)} items")
        return tuple(convert(item, arg, find_target) for item, arg in zip(value, args, strict=True))
    items = [convert(item, args[0] if args else object, find_target) for item in value]
    return items if origin is list else tuple(items)


def _make(cls: type, values: Mapping[str, Any], find_target: FindTarget) -> Any:
    fields = chz.chz_fields(cls)
    given = {name: item for name, item in values.items() if name != TARGET}
    if unknown := [name for name in given if name not in fields]:
        raise Mismatch(f"a {cls.__name__} with {unknown[0]}", did_you_mean(unknown[0], fields))
    arguments = {name: convert(item, fields[name].x_type, find_target) for name, item in given.items()}
    try:
        return cls(**arguments)
    except TypeError as error:
        raise Mismatch(f"a {cls.__name__} that cannot be made: {error}") from error


def chz_classes(annotation: Any) -> tuple[type, ...]:
    """The chz classes among the members of an annotation, e.g. (WandbConfig,) of `WandbConfig | None`."""
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    origins = (get_origin(member) or member for member in members)
    return tuple(origin for origin in origins if chz.is_chz(origin))


def chz_classes_of_items(annotation: Any) -> tuple[type, ...]:
    """The chz classes among the values of a mapping from names, e.g. (Noise,) of `Mapping[str, Noise]`."""
    if get_origin(annotation) not in (dict, Mapping):
        return ()
    return chz_classes(get_args(annotation)[1])


def describe(annotation: Any) -> str:
    """A type for people: `one of a, b` or `float | null`."""
    args = get_args(annotation)
    if annotation in (None, type(None)):
        return "null"
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(map(str, args))}"
    if get_origin(annotation) in (Union, types.UnionType):
        return " | ".join(map(describe, args))
    if args:
        inner = ", ".join("..." if arg is ... else describe(arg) for arg in args)
        return f"{get_origin(annotation).__name__}[{inner}]"
    return getattr(annotation, "__name__", str(annotation))


def kind(value: object) -> str:
    """What a plain value is, for people."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value!r}"
        case Mapping():
            return "a mapping"
        case _:
            return "a list"


def show(value: object) -> str:
    """A value as one would type it."""
    if is_list(value):
        return f"[{', '.join(map(show, value))}]"
    if chz.is_chz(value):
        return target_name(type(value))
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
