"""Reading JSON bodies: every getter checks the type and names the field that does not fit."""

import json
from collections.abc import Mapping
from typing import TypeGuard

from tinkery_local.errors import RequestError


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a parsed JSON value is an object (its keys are always strings)."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether a parsed JSON value is an array."""
    return isinstance(value, list)


class Fields:
    """A JSON object of a request. A field that is null counts as absent, as the client omits null fields."""

    def __init__(self, values: Mapping[str, object], prefix: str = "") -> None:
        self._values = values
        self._prefix = prefix

    @classmethod
    def parse(cls, body: bytes) -> "Fields":
        """Read a request body; RequestError 400 unless it is a JSON object. No body counts as `{}`."""
        try:
            value: object = json.loads(body or b"{}")
        except (ValueError, RecursionError) as error:
            raise RequestError(400, f"the body is not JSON: {error}") from None
        if not is_object(value):
            raise RequestError(400, f"the body must be a JSON object, not {_describe(value)}")
        return cls(value)

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def is_set(self, name: str) -> bool:
        """Whether an option was asked for: its field is there, and neither null, false, zero nor empty."""
        return bool(self._values.get(name))

    def is_text(self, name: str) -> bool:
        return isinstance(self._values.get(name), str)

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def maybe_text(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def integer(self, name: str) -> int:
        value = self._values.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "an integer")
        return value

    def maybe_integer(self, name: str) -> int | None:
        return self.integer(name) if self.has(name) else None

    def number(self, name: str, default: float) -> float:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._wrong(name, "a number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def items(self, name: str) -> list[object]:
        value = self._values.get(name)
        if not is_list(value):
            raise self._wrong(name, "a list")
        return value

    def child(self, name: str) -> "Fields":
        """The object in a field; an absent one reads as empty."""
        value = self._values.get(name)
        if value is None:
            return Fields({}, f"{self._prefix}{name}.")
        if not is_object(value):
            raise self._wrong(name, "an object")
        return Fields(value, f"{self._prefix}{name}.")

    def children(self, name: str) -> list["Fields"]:
        children: list[Fields] = []
        for index, item in enumerate(self.items(name)):
            if not is_object(item):
                raise RequestError(
                    422, f"{self._prefix}{name}[{index}]: expected an object, got {_describe(item)}"
                )
            children.append(Fields(item, f"{self._prefix}{name}[{index}]."))
        return children

    def text_map(self, name: str) -> dict[str, str]:
        """A map of free user metadata; values that are not strings are kept as their JSON text."""
        values = self.child(name)._values
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}

    def _wrong(self, name: str, expected: str) -> RequestError:
        value = self._values.get(name)
        got = "nothing" if value is None else _describe(value)
        return RequestError(422, f"{self._prefix}{name}: expected {expected}, got {got}")


def _describe(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
