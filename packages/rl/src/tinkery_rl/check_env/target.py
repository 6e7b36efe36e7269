"""What `tinkery check-env` checks: the class that was named, built anew as often as a check needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chz
from omegaconf import OmegaConf
from tinkery_core.config.compose import Composed
from tinkery_core.config.resolve import resolve
from tinkery_core.config.sources import COMMAND_LINE, Layer, Sources, leaf_keys
from tinkery_core.config.suggest import did_you_mean
from tinkery_core.config.targets import import_target
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig

from tinkery_rl.check_env.report import CheckFailed
from tinkery_rl.types import EnvGroupBuilder, RLDataset, RLDatasetBuilder, RLDatasets, RLSetup

if TYPE_CHECKING:
    from tinkery_core.chat import Chat

TARGET, CONFIG, DATASET = "target", "config", "dataset"
NUM_TRAIN_GROUPS = 2
NUM_TEST_GROUPS = 1


@dataclass(frozen=True)
class Group:
    """A group to check. `place` says where it comes from."""

    place: str
    builder: EnvGroupBuilder


@dataclass(frozen=True)
class Subject:
    """A class with the values of its keys, and the run that it is built for."""

    cls: type[EnvGroupBuilder] | type[RLDatasetBuilder]
    values: dict[str, Any]
    setup: RLSetup

    @property
    def is_dataset(self) -> bool:
        """Whether it builds datasets, not a group."""
        return issubclass(self.cls, RLDatasetBuilder)

    def chat(self) -> Chat:
        """The chat format of the model that the envs are built for."""
        return self.setup.model.load_chat()

    def datasets(self, seed: int | None = None) -> RLDatasets:
        """The datasets, built anew. Raises CheckFailed."""
        builder = self._build()
        assert isinstance(builder, RLDatasetBuilder)
        try:
            return builder(self.setup if seed is None else replace(self.setup, seed=seed))
        except Exception as error:
            raise _not_built(error) from error

    def groups(self) -> list[Group]:
        """The first groups to train on and to test on, or the one group, built anew. Raises CheckFailed."""
        if not self.is_dataset:
            builder = self._build()
            assert isinstance(builder, EnvGroupBuilder)
            return [Group("the group", builder)]
        datasets = self.datasets()
        return [
            *_first_groups("train", datasets.train, NUM_TRAIN_GROUPS),
            *([] if datasets.test is None else _first_groups("test", datasets.test, NUM_TEST_GROUPS)),
        ]

    def _build(self) -> EnvGroupBuilder | RLDatasetBuilder:
        layer = Layer(COMMAND_LINE, frozenset(leaf_keys(self.values)))
        try:
            return resolve(self.cls, Composed(self.values, Sources([layer])))
        except Exception as error:
            raise _not_built(error) from error


def _first_groups(name: str, dataset: RLDataset, num_groups: int) -> list[Group]:
    try:
        batch = dataset.get_batch(0)
    except Exception as error:
        raise CheckFailed(
            DATASET, f"{name}: get_batch(0) raised {type(error).__name__}: {error}", "correct get_batch"
        ) from error
    if not batch:
        raise CheckFailed(DATASET, f"{name}: get_batch(0) is empty", "give each batch at least one group")
    return [Group(f"{name} group {p}", builder) for p, builder in enumerate(batch[:num_groups])]


def _not_built(error: Exception) -> CheckFailed:
    reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return CheckFailed(CONFIG, f"cannot be built: {reason}", "correct the key=value arguments, or the class")


def find_class(name: str) -> type[EnvGroupBuilder] | type[RLDatasetBuilder]:
    """The class that `module:Class` names, also below the working directory. Raises CheckFailed."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return import_target(
            name.replace(":", "."), (EnvGroupBuilder, RLDatasetBuilder), "BUILDER", COMMAND_LINE
        )
    except Exception as error:
        reason = (
            str(error) if isinstance(error, UserError) else f"importing it: {type(error).__name__}: {error}"
        )
        raise CheckFailed(
            TARGET, reason, "name a class as module:Class; a module of yours is looked for where you are"
        ) from error


def with_model(cls: type, values: dict[str, Any], model: ModelConfig) -> dict[str, Any]:
    """The values, and the model too if the class has a key for it. Raises UserError if that was set by hand."""
    field = chz.chz_fields(cls).get("model")
    if field is None or field.x_type is not ModelConfig:
        return values
    if "model" in values:
        raise UserError(
            f"{cls.__name__}.model is the model that the check is for: type --model NAME instead of model.…"
        )
    return {**values, "model": {"name": model.name, "renderer": model.renderer}}


def parse_values(arguments: Sequence[str]) -> dict[str, Any]:
    """`key=value …` as nested plain data. Raises UserError."""
    for argument in arguments:
        if "=" not in argument:
            raise UserError(f"{argument!r} is not understood: expected key=value")
    return _plain(OmegaConf.from_dotlist(list(arguments)))


def _plain(config: object) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(config)
    return values


def find_model(name: str) -> ModelConfig:
    """A model by its name at the service, or by that of its YAML in the group `model`. Raises UserError."""
    shipped = {
        file.name.removesuffix(".yaml"): _plain(OmegaConf.create(file.read_text()))
        for file in (files("tinkery_core.conf") / "model").iterdir()
    }
    for option, values in shipped.items():
        if name in (option, values["name"]):
            return ModelConfig(name=values["name"], renderer=values.get("renderer"))
    if "/" not in name:
        raise UserError(
            f"--model={name}: there is no such model.{did_you_mean(name, shipped)}\n"
            f"Expected a model's name at the service, a folder, or one of: {', '.join(sorted(shipped))}"
        )
    return ModelConfig(name=name)
