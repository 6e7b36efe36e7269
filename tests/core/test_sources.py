"""Each value of a config knows which file or argument set it."""

from pathlib import Path

import pytest
from tinkery_core.cli import main
from tinkery_core.config.compose import Composed, compose
from tinkery_core.config.explain import explain
from tinkery_core.config.loader import make_loader
from tinkery_core.config.resolve import resolve
from tinkery_core.launch import Script
from tinkery_demo.script import Count, DemoConfig, Noise


def composed(demo: Script, *overrides: str, config_dir: str | None = None) -> Composed:
    return compose(make_loader(demo.conf, config_dir), demo.config_name, demo.name, list(overrides))


def test_the_last_source_that_set_a_value_counts(demo: Script) -> None:
    sources = composed(demo, "+experiment=long", "task.scale=2").sources
    assert sources.of("max_steps") == "tinkery_demo.conf/experiment/long.yaml"
    assert sources.of("task.scale") == "command line"
    assert sources.of("task._target_") == "tinkery_demo.conf/task/count.yaml"
    assert sources.of("model.name") == "tinkery_core.conf/model/tiny.yaml"
    assert sources.of("run_dir") == "tinkery_core.conf/script.yaml"
    assert sources.of("seed") == "default"


def test_a_key_inside_a_value_comes_from_where_the_value_does(demo: Script) -> None:
    sources = composed(demo, "task.noises=[{kind: gauss}]").sources
    assert sources.of("task.noises.0.kind") == "command line"


def test_deleted_and_interpolated_values(demo: Script) -> None:
    result = composed(demo, "+experiment=long", "~max_steps", "batch_size=${task.scale}")
    assert "max_steps" not in result.values
    assert result.values["batch_size"] == 0.5
    assert result.sources.of("batch_size") == "command line"


def test_own_yaml_wins_over_installed_and_is_named(demo: Script, workplace: Path) -> None:
    for folder, scale in (("conf", 3), ("elsewhere", 4)):
        own = workplace / folder / "experiment" / "long.yaml"
        own.parent.mkdir(parents=True)
        own.write_text(f"# @package _global_\ntask:\n  scale: {scale}\n")
    here = composed(demo, "+experiment=long")
    assert here.values["task"]["scale"] == 3
    assert here.sources.of("task.scale") == "conf/experiment/long.yaml"
    there = composed(demo, "+experiment=long", config_dir="elsewhere")
    assert there.values["task"]["scale"] == 4
    assert there.sources.of("task.scale") == "elsewhere/experiment/long.yaml"


def test_a_part_of_a_default_object_leaves_its_other_parts(demo: Script) -> None:
    config = resolve(DemoConfig, composed(demo, "task.noise.kind=gauss"))
    assert isinstance(config.task, Count)
    assert config.task.noise == Noise(kind="gauss", width=0.25)


def test_an_optional_object_is_made_by_naming_a_part_of_it(demo: Script) -> None:
    config = resolve(DemoConfig, composed(demo, "task.extra.kind=gauss"))
    assert isinstance(config.task, Count)
    assert config.task.extra == Noise(kind="gauss")


def test_objects_in_a_list(demo: Script) -> None:
    target = "tinkery_demo.script.Noise"
    config = resolve(
        DemoConfig, composed(demo, f"task.noises=[{{kind: gauss}},{{_target_: {target}, width: 3}}]")
    )
    assert isinstance(config.task, Count)
    assert config.task.noises == (Noise(kind="gauss"), Noise(width=3.0))


def test_whole_numbers_are_fine_floats(demo: Script) -> None:
    config = resolve(DemoConfig, composed(demo, "learning_rate=1"))
    assert isinstance(config.learning_rate, float)


def test_explain_has_a_row_for_each_key(demo: Script) -> None:
    result = composed(demo, "seed=3")
    rows = {row.key: row for row in explain(resolve(DemoConfig, result), result.sources)}
    seed = rows["seed"]
    assert (seed.value, seed.type, seed.source) == ("3", "int", "command line")
    assert seed.doc == "seed of data order, LoRA initialisation and sampling"
    assert rows["task"].value == "Count"
    assert rows["task"].source == "tinkery_demo.conf/task/count.yaml"
    assert rows["task.noise.width"].value == "0.25"
    assert rows["logging.wandb"].type == "WandbConfig | null"


def test_explain_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["tinkery", "explain", "train-math", "--config-dir", ".", "seed=7"])
    main()
    line = next(line for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["seed"])
    assert line.split()[:3] == ["seed", "7", "int"]
    assert line.rstrip().endswith("command line")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train-mth"], "There is no installed script train-mth. Did you mean train-math?"),
        (["pytest"], "pytest is not a tinkery script: it was not made by tinkery_core.launch."),
        (["train-math", "sed=1"], "sed (command line): there is no such key in RLConfig. Did you mean seed?"),
    ],
)
def test_explain_errors(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tinkery", "explain", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip() == message
