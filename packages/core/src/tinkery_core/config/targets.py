"""`_target_` in a YAML: the name of a chz class. It is imported and checked, and never called."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType
from typing import TypeGuard

import chz

from tinkery_core.config.suggest import did_you_mean
from tinkery_core.config.values import target_name
from tinkery_core.errors import UserError


def import_target(target: object, expected: tuple[type, ...], key: str, source: str) -> type:
    """The class that `target` names: a concrete chz class that is a subclass of one of `expected`.

    Raises UserError otherwise, with the key and the source of the value in the message.
    """
    wanted = " or ".join(cls.__name__ for cls in expected)
    try:
        found = _find(target)
        if not _is_chz_class(found):
            raise LookupError(f"{target} is not a chz class and will not be called")
        if not issubclass(found, expected):
            raise LookupError(f"{target} is not a {wanted}")
        if inspect.isabstract(found):
            raise LookupError(f"{target} is abstract")
    except LookupError as error:
        examples = " or ".join(target_name(cls) for cls in _examples(expected))
        raise UserError(
            f"{key}={target} ({source}): {error}.\n"
            f"Expected the name of a {wanted}{', e.g. ' if examples else ''}{examples}"
        ) from None
    return found


def _find(target: object) -> object:
    """What stands at a dotted name. Raises LookupError saying what is missing."""
    if not isinstance(target, str):
        raise LookupError(f"{target!r} is not the name of a class")
    parts = target.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = _import(".".join(parts[:end]))
        if module is not None:
            return _attribute(module, parts[end:])
    raise LookupError(f"there is no module {parts[0]}")


def find_in_module(module: str, name: str) -> object:
    """What a module holds under a name; it is not called. Raises LookupError saying what is missing."""
    imported = _import(module)
    if imported is None:
        raise LookupError(f"there is no module {module}")
    return _attribute(imported, name.split("."))


def _import(name: str) -> ModuleType | None:
    """The module, or None if there is none of this name."""
    try:
        return import_module(name)
    except (ImportError, ValueError) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            return None
        raise LookupError(f"importing {name} failed: {error}") from error


def _attribute(module: ModuleType, names: list[str]) -> object:
    value: object = module
    for name in names:
        members: dict[str, object] = getattr(value, "__dict__", {})
        if name not in members:
            raise LookupError(f"{module.__name__} has no {name}{did_you_mean(name, members).rstrip('?')}")
        value = members[name]
    return value


def _is_chz_class(value: object) -> TypeGuard[type]:
    # A subclass without a decorator of its own inherits the fields but cannot be made.
    return isinstance(value, type) and "__chz_fields__" in vars(value)


def _examples(expected: tuple[type, ...]) -> list[type]:
    """Some of the classes that are loaded anyway."""
    loaded = [cls for base in expected for cls in (base, *_subclasses(base)) if is_concrete(cls)]
    return loaded[:2]


def _subclasses(cls: type) -> list[type]:
    return [found for sub in cls.__subclasses__() for found in (sub, *_subclasses(sub))]


def is_concrete(cls: object) -> bool:
    return chz.is_chz(cls) and not inspect.isabstract(cls)
