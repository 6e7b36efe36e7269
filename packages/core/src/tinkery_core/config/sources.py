"""Where each value of a config comes from."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from tinkery_core.config.values import is_mapping

COMMAND_LINE = "command line"
DEFAULT = "default"


@dataclass(frozen=True)
class Layer:
    """What one source says: a YAML file, in its place in the config tree, or the command line."""

    name: str
    keys: frozenset[str]


class Sources:
    """Layers in the order of composition: of those that set a key, the last one counts."""

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = layers

    def of(self, key: str) -> str:
        """The name of the source of this key; of the nearest key around it if it was set as part of that."""
        while key:
            for layer in reversed(self.layers):
                if key in layer.keys:
                    return layer.name
            key = key.rpartition(".")[0]
        return DEFAULT

    def of_mention(self, key: str) -> str:
        """The same for a key that may have been mentioned only on the way to one inside it."""
        source = self.of(key)
        if source != DEFAULT:
            return source
        inside = (
            layer.name
            for layer in reversed(self.layers)
            if any(other.startswith(f"{key}.") for other in layer.keys)
        )
        return next(inside, DEFAULT)


def leaf_keys(values: object, prefix: str = "") -> Generator[str]:
    """Dotted keys of all leaves. Lists are leaves, and so are empty mappings."""
    if is_mapping(values) and values:
        for key, value in values.items():
            yield from leaf_keys(value, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix
