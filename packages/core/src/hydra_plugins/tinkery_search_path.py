"""Tells Hydra where YAML lies: in each installed package that declares the entry point group `tinkery.configs`,
and in a folder `conf` of the working directory."""

from importlib.metadata import entry_points
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

WORKING_DIRECTORY = "working directory"


class TinkerySearchPath(SearchPathPlugin):
    """The user's own files come first, so that they win over installed ones of the same name."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        present = {element.path for element in search_path.get_path()}
        for entry in sorted(entry_points(group="tinkery.configs")):
            if f"pkg://{entry.value}" not in present:
                search_path.append(provider=entry.name, path=f"pkg://{entry.value}")
        own = Path("conf")
        if own.is_dir():
            search_path.prepend(provider=WORKING_DIRECTORY, path=f"file://{own.resolve()}")
