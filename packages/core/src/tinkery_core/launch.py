"""From a config class and an async function to a console script."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tinkery_core.run import Run
from tinkery_core.script import ScriptConfig

ConfigT = TypeVar("ConfigT", bound=ScriptConfig)


class Script:
    """A console script: `script()` reads sys.argv and exits."""

    def __init__(self, function: Callable[[ConfigT, Run], Awaitable[None]], conf: str, name: str) -> None:
        self.function = function
        self.conf = conf
        self.name = name

    def __call__(self) -> None: ...


def launch(conf: str, name: str) -> Callable[[Callable[[ConfigT, Run], Awaitable[None]]], Script]:
    """Make a console script out of `async def function(config: SomeConfig, run: Run) -> None`.

    `conf` is the package with the script's YAML, `name` its primary config there. The config class is taken from the
    annotation of the first parameter.
    """

    def decorate(function: Callable[[ConfigT, Run], Awaitable[None]]) -> Script:
        return Script(function, conf, name)

    return decorate
