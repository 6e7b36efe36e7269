"""From a config class and an async function to a console script."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Coroutine
from importlib import import_module, metadata
from importlib.util import module_from_spec, spec_from_file_location

from hydra import version
from hydra._internal.hydra import Hydra

from tinkery_core.config.hydra_errors import as_user_errors
from tinkery_core.config.loader import make_loader
from tinkery_core.config.values import importable_name
from tinkery_core.errors import UserError
from tinkery_core.event_loop import leave
from tinkery_core.help import print_help
from tinkery_core.invocation import Invocation, program_name
from tinkery_core.job import USAGE, Job
from tinkery_core.script import ScriptConfig
from tinkery_core.sweep import sweep

INTERRUPTED = 130

Function = Callable[..., Coroutine[object, object, None]]
"""`async def function(config: SomeConfig, run: Run) -> None`"""


class Script:
    """A console script: calling it reads `sys.argv` and exits. Made by `launch`."""

    def __init__(self, function: Function, conf: str, config_name: str) -> None:
        self.run = function
        self.config_class = _config_class(function)
        self.conf = conf
        self.config_name = config_name
        self._module, self._attribute = function.__module__, function.__qualname__
        self.__doc__ = function.__doc__

    def __reduce__(self) -> tuple[Callable[[str, str, str | None], object], tuple[str, str, str | None]]:
        # Workers of a parallel launcher import the script by name, or from its file if it was started as one.
        started_as_program = self._module == "__main__"
        file = sys.modules["__main__"].__file__ if started_as_program else None
        return _find_script, (importable_name(self._module), self._attribute, file)

    def __call__(self) -> None:
        # Started as a program, the module of this script is also found by its own name: a `_target_` uses that.
        sys.modules.setdefault(importable_name(self._module), sys.modules[self._module])
        try:
            status = self.main(sys.argv[1:])
        except UserError as error:
            print(error, file=sys.stderr)
            status = USAGE
        except KeyboardInterrupt:
            status = INTERRUPTED
        leave(status)

    def main(self, arguments: list[str]) -> int:
        """Do what the command line says; the exit status. Raises UserError."""
        options = _parser().parse_intermixed_args(arguments)
        invocation = Invocation(program_name(), options.config_dir, options.config_name)
        if options.version:
            print(f"tinkery {metadata.version('tinkery-core')}")
            return 0
        with as_user_errors():
            version.setbase("1.3")
            loader = make_loader(self.conf, invocation.config_dir)
            hydra = Hydra(task_name=self.name, config_loader=loader)
            config_name = invocation.config_name or self.config_name
            if options.help:
                print_help(self, loader, config_name, invocation.program)
            elif options.cfg:
                hydra.show_cfg(config_name, options.overrides, options.cfg, options.package, options.resolve)
            elif options.info:
                hydra.show_info(options.info, config_name, options.overrides)
            elif options.multirun:
                return sweep(hydra, config_name, Job(self, invocation), options.overrides)
            else:
                job = Job(self, invocation)
                return hydra.run(
                    config_name, job, options.overrides, with_log_configuration=False
                ).return_value
        return 0

    @property
    def name(self) -> str:
        """The script's name in run folders, e.g. train-math."""
        return self.config_name.replace("_", "-")


def _config_class(function: Function) -> type[ScriptConfig]:
    annotation = next(iter(inspect.signature(function).parameters.values())).annotation
    if isinstance(annotation, str):
        annotation = vars(sys.modules[function.__module__])[annotation]
    if not (isinstance(annotation, type) and issubclass(annotation, ScriptConfig)):
        raise TypeError(
            f"{function.__qualname__}: its first parameter is to be annotated with a ScriptConfig class"
        )
    return annotation


def _find_script(module: str, attribute: str, file: str | None) -> object:
    if module not in sys.modules and file is not None:
        spec = spec_from_file_location(module, file)
        assert spec is not None and spec.loader is not None
        sys.modules[module] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[module])
    return getattr(import_module(module), attribute)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    for names, action in FLAGS:
        parser.add_argument(*names, action=action)
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument(
        "--info", "-i", choices=["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    )
    for names in (["--package", "-p"], ["--config-dir", "-cd"], ["--config-name", "-cn"]):
        parser.add_argument(*names)
    return parser


FLAGS = [
    (["--help", "-h"], "store_true"),
    (["--version"], "store_true"),
    (["--multirun", "-m"], "store_true"),
    (["--resolve"], "store_true"),
]


def launch(conf: str, name: str) -> Callable[[Function], Script]:
    """Make a console script out of `async def function(config: SomeConfig, run: Run) -> None`.

    `conf` is the package with the script's YAML, `name` its primary config there. The config class is taken from
    the annotation of the first parameter.
    """

    def decorate(function: Function) -> Script:
        return Script(function, conf, name)

    return decorate
