"""Hydra's and OmegaConf's complaints, reworded to one short message each."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from tinkery_core.config.suggest import did_you_mean
from tinkery_core.errors import UserError

_NOT_IN_DEFAULTS = re.compile(r"Could not override '(?P<group>[^']+)'")
_TWICE = re.compile(
    r"Multiple values for (?P<group>[\w/@]+)\.|(?P<again>[\w/@]+) appears more than once in the"
)
_FORCED = re.compile(r"force-add of config groups is not supported: '\+\+(?P<group>[^=]+)=")
_SWEEP = re.compile(r"(Ambiguous value for argument|Sweep parameters) '(?P<typed>[^']+)'")


@contextmanager
def as_user_errors() -> Generator[None]:
    """Raise UserError for each error of composition inside the `with`."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise UserError(_reword(error)) from error


def _reword(error: Exception) -> str:
    match error:
        case OverrideParseException():
            detail = error.message.splitlines()[1:2]
            return (
                f"{error.override!r} is not understood: expected key=value, +group=option or ~key.\n"
                f"{''.join(detail)}"
            ).strip()
        case MissingConfigException(missing_cfg_file=str(file)):
            return _unknown_option(file, list(error.options or []), str(error))
        case MissingMandatoryValue():
            return f"{error.full_key} has no value yet: type {error.full_key}=…"
        case InterpolationKeyError():
            return f"{error.full_key or 'A value'} refers to a key that does not exist: {_first_line(error)}"
        case YAMLError():
            return f"A YAML file cannot be read:\n{error}"
        case _:
            return _other(error)


def _unknown_option(file: str, options: list[str], message: str) -> str:
    group, _, option = file.rpartition("/")
    if not group:
        return message.splitlines()[0]
    return (
        f"{group}={option}: there is no such file {file}.yaml.{did_you_mean(option, options)}\n"
        f"Options of {group}: {', '.join(options) or 'none'}"
    )


def _other(error: Exception) -> str:
    message = str(error) if error.__cause__ is None else f"{error}\n{error.__cause__}"
    if found := _NOT_IN_DEFAULTS.match(message):
        group = found["group"]
        return f"{group} is a config group without a default choice: type +{group}=… instead of {group}=…"
    if found := _TWICE.match(message):
        group = found["group"] or found["again"]
        return f"+{group}=… would add a second {group}: type {group}=… to replace the one there is."
    if found := _FORCED.match(message):
        group = found["group"]
        return f"{group} is a config group: type {group}=… or +{group}=… to choose one of its files."
    if found := _SWEEP.match(message):
        typed = found["typed"]
        key, _, values = typed.partition("=")
        return (
            f"{typed} names several values: add -m to run each of them, "
            f"or type {key}=[{values}] if it is one list."
        )
    return message.strip()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
