"""Base models by name: what `--model` may say, where its folder is, and what the server then knows of it."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tinkery_local import hub
from tinkery_local.errors import UserError

BUNDLED_PREFIX = "tinkery/"
DEFAULT_MODEL = "tinkery/tiny"


@dataclass(frozen=True)
class ModelSource:
    """A base model by the name that clients use, and its Hugging Face folder."""

    name: str
    folder: Path


def find(name: str) -> ModelSource:
    """Where the model of a `--model` argument lies: a bundled name, a folder, or a hub id.

    Raises UserError that lists the bundled names when there is no such model.
    """
    if name.startswith(BUNDLED_PREFIX):
        return _checked(ModelSource(name, _bundled(name)))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _checked(ModelSource(str(folder.resolve()), folder.resolve()))
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _checked(ModelSource(name, hub.fetch(name)))
    raise UserError(
        f"--model {name}: no such folder, and not a bundled model ({_listed(bundled_names())}) or hub id."
    )


def bundled_names() -> list[str]:
    """Names of the models that installed packages bring along."""
    return sorted(BUNDLED_PREFIX + entry.name for entry in metadata.entry_points(group="tinkery.models"))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean …?` for a name close to a known one, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def _checked(source: ModelSource) -> ModelSource:
    if not (source.folder / "config.json").is_file():
        raise UserError(
            f"--model {source.name}: {source.folder} is not a model folder, it has no config.json."
        )
    return source


def _bundled(name: str) -> Path:
    entries = {BUNDLED_PREFIX + entry.name: entry for entry in metadata.entry_points(group="tinkery.models")}
    if name not in entries:
        hint = did_you_mean(name, entries)
        raise UserError(f"--model {name}: bundled models are {_listed(entries)}.{hint}")
    folder: object = entries[name].load()()
    return Path(str(folder))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
