"""What a run folder records of its config rebuilds it: for every launch script, with every option of every group."""

from collections.abc import Generator
from importlib.metadata import entry_points
from itertools import zip_longest
from pathlib import Path

import pytest
from hydra.types import RunMode
from tinkery_core.config.compose import compose
from tinkery_core.config.loader import LayeredLoader, make_loader
from tinkery_core.config.resolve import rebuild, resolve
from tinkery_core.config.values import blueprint_values
from tinkery_core.errors import UserError
from tinkery_core.folder import CONFIG_JSON, CONFIG_YAML, record_config
from tinkery_core.launch import Script
from tinkery_core.script import ScriptConfig

NEEDED = {
    "dataset=hub": "dataset.name=somebody/chats",
    "dataset=jsonl": "dataset.path=chats.jsonl",
    "preferences=hub": "preferences.name=somebody/pairs",
    "preferences=jsonl": "preferences.path=pairs.jsonl",
}
"""What an option leaves to be typed."""


def shipped_scripts() -> list[Script]:
    loaded: list[object] = [
        entry.load() for entry in entry_points(group="console_scripts") if entry.module.startswith("tinkery_")
    ]
    return [script for script in loaded if isinstance(script, Script)]


def chosen_groups(script: Script, loader: LayeredLoader) -> list[str]:
    choices = loader.compute_defaults_list(script.config_name, [], RunMode.RUN).overrides.known_choices
    return [group for group in choices if not group.startswith("hydra/")]


def combinations(script: Script) -> Generator[list[str]]:
    """Overrides that take each option of each group once. The groups are independent, so they take turns together."""
    loader = make_loader(script.conf, None)
    groups = [
        [f"{group}={option}" for option in loader.get_group_options(group)]
        for group in chosen_groups(script, loader)
    ]
    for choices in zip_longest(*groups):
        yield [choice for choice in choices if choice is not None]


def experiments(script: Script) -> list[str]:
    """Those of the script itself, and not of another one in its package."""
    loader = make_loader(script.conf, None)
    names = [f"+experiment={name}" for name in loader.get_group_options("experiment")]
    return [name for name in names if fits(script, loader, name)]


def fits(script: Script, loader: LayeredLoader, choice: str) -> bool:
    try:
        resolve(script.config_class, compose(loader, script.config_name, script.name, [choice]))
    except UserError:
        return False
    return True


@pytest.mark.parametrize("script", shipped_scripts(), ids=lambda script: script.name)
def test_both_records_rebuild_the_config(script: Script, tmp_path: Path) -> None:
    loader = make_loader(script.conf, None)
    for choices in [*combinations(script), *([name] for name in experiments(script))]:
        needed = [NEEDED[choice] for choice in choices if choice in NEEDED]
        composed = compose(
            loader, script.config_name, script.name, [f"run_dir={tmp_path}", *choices, *needed]
        )
        config = resolve(script.config_class, composed)
        record_config(tmp_path, blueprint_values(config), composed.yaml)
        assert rebuild(tmp_path / CONFIG_JSON, ScriptConfig) == config, choices
        assert rebuild(tmp_path / CONFIG_YAML, script.config_class) == config, choices


def test_each_experiment_is_of_some_script() -> None:
    """A recipe may ship an experiment of a script that another package brings, with what the recipe adds to it."""
    loaders = {script: make_loader(script.conf, None) for script in shipped_scripts()}
    names = {name for loader in loaders.values() for name in loader.get_group_options("experiment")}
    for name in names:
        assert any(fits(script, loader, f"+experiment={name}") for script, loader in loaders.items()), name
