"""Weights that a run does not train but asks: those of judges and opponents, which other runs may have trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import chz

from tinkery_core.start_weights import last_of_run

_EXPECTED = (
    "Expected the folder of a run, or the path of sampler weights, tinker://<run>/sampler_weights/<name>."
)


class AsksWeights(ABC):
    """Base of config classes that name sampler weights."""

    @property
    @abstractmethod
    def named_weights(self) -> dict[str, str]:
        """By the name of the field: the folder of a run, whose last checkpoint counts, or a path, tinker://…"""


def find_sampler_path(key: str, typed: str) -> str:
    """The path of the sampler weights that `key` names. Raises UserError if a folder has no checkpoint of a run."""
    if typed.startswith("tinker://"):
        return typed
    return last_of_run(key, typed, _EXPECTED)[0].sampler_path


def find_stores(config: object) -> list[Path]:
    """Where embedded servers of other runs keep the sampler weights that are named anywhere in a config.

    Raises UserError, with the whole key, if a folder is named that has no checkpoint of a run.
    """
    stores: list[Path] = []
    for place, part in chz.traverse(config):
        for name, typed in part.named_weights.items() if isinstance(part, AsksWeights) else ():
            if not typed.startswith("tinker://"):
                store = last_of_run(f"{place}.{name}" if place else name, typed, _EXPECTED)[1]
                stores += [] if store is None else [store]
    return stores
