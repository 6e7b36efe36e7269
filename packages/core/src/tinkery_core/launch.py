"""From a config class and an async function to a console script."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any, Generic, TypeVar

import chz
from hydra import version
from hydra._internal.hydra import Hydra
from hydra.core.utils import JobReturn
from hydra.types import RunMode

from tinkery_core.config.compose import LayeredLoader, make_loader
from tinkery_core.config.hydra_errors import as_user_errors
from tinkery_core.errors import UserError
from tinkery_core.invocation import Invocation, program_name
from tinkery_core.job import USAGE, Job
from tinkery_core.run import Run
from tinkery_core.script import ScriptConfig

ConfigT = TypeVar("ConfigT", bound=ScriptConfig)

INTERRUPTED = 130


class Script(Generic[ConfigT]):
    """A console script: calling it reads `sys.argv` and exits."""

    def __init__(
        self, function: Callable[[ConfigT, Run], Coroutine[object, object, None]], conf: str, name: str
    ) -> None:
        self.run = function
        self.conf = conf
        self.config_name = name
        self.module, self.attribute = function.__module__, function.__qualname__
        self.__doc__ = function.__doc__

    @property
    def config_class(self) -> type[ConfigT]:
        """The annotation of the function's first parameter."""
        parameter = next(iter(inspect.signature(self.run).parameters.values()))
        annotation = parameter.annotation
        if isinstance(annotation, str):
            annotation = self.run.__globals__[annotation]
        return annotation

    def __reduce__(self) -> tuple[Callable[[str, str], Any], tuple[str, str]]:
        # Workers of a parallel launcher import the script by name.
        return _script_named, (self.module, self.attribute)

    def __call__(self) -> None:
        try:
            sys.exit(self.main(sys.argv[1:]))
        except UserError as error:
            print(error, file=sys.stderr)
            sys.exit(USAGE)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


def _script_named(module: str, attribute: str) -> Any:
    return getattr(import_module(module), attribute)
