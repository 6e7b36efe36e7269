"""Every YAML of configs/core composes, and builds the config object it describes."""

import json
from functools import reduce
from importlib.resources import files
from pathlib import Path

import pytest
from renderers.base import MODEL_RENDERER_MAP
from tinkery_core.config.compose import compose
from tinkery_core.config.explain import explain, explain_class
from tinkery_core.config.loader import make_loader
from tinkery_core.config.resolve import rebuild, resolve
from tinkery_core.config.sources import DEFAULT
from tinkery_core.config.values import blueprint_values
from tinkery_core.launch import Script
from tinkery_core.run import open_run
from tinkery_core.script import ScriptConfig
from tinkery_demo.script import DemoConfig

CONF = files("tinkery_core.conf")
CHOICES = [
    f"{group}={file.name.removesuffix('.yaml')}"
    for group in ("backend", "model")
    for file in CONF.joinpath(group).iterdir()
]


@pytest.mark.parametrize("choice", CHOICES)
def test_builds_and_repeats_no_default(choice: str, demo: Script) -> None:
    composed = compose(make_loader(demo.conf, None), demo.config_name, demo.name, [choice])
    config = resolve(DemoConfig, composed)
    assert config.model.renderer is not None or config.model.name in MODEL_RENDERER_MAP
    for row in explain(config, composed.sources):
        parent, _, name = row.key.rpartition(".")
        owner = reduce(getattr, parent.split(".") if parent else [], config)
        default = next(row.value for row in explain_class(type(owner)) if row.key == name)
        assert row.source == DEFAULT or row.value != default, row


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("+experiment=long", "task.noise.kind=gauss", "task.names=[a,b]", "task.noises=[{width: 2}]"),
        ("backend.base_url=http://127.0.0.1:9", "note='3: {x}'", "task.extra.width=2"),
        ("task=fail", "model=qwen3-8b"),
    ],
)
def test_both_records_rebuild_the_config(overrides: tuple[str, ...], demo: Script, workplace: Path) -> None:
    composed = compose(
        make_loader(demo.conf, None), demo.config_name, demo.name, ["run_dir=here", *overrides]
    )
    config = resolve(DemoConfig, composed)
    with open_run(config, yaml=composed.yaml):
        pass
    assert rebuild(workplace / "here" / "config.json", ScriptConfig) == config
    assert rebuild(workplace / "here" / "config.yaml", DemoConfig) == config
    assert json.loads((workplace / "here" / "config.json").read_text()) == blueprint_values(config)
