"""Baking gives the same files from the same recipe; a command that cannot be done says why."""

from dataclasses import replace
from pathlib import Path

import pytest
from tinkery_local.tiny.bake import RECIPE, bake, main
from tinkery_local.tiny.pretrain import Schedule

MINIATURE = replace(
    RECIPE,
    spec=replace(RECIPE.spec, hidden_size=16, intermediate_size=32, num_hidden_layers=1, head_dim=8),
    tokenizer_conversations=300,
    clean=Schedule(steps=4, peak_rate=3e-3),
    mixed=Schedule(steps=3, peak_rate=1e-3),
)


def test_two_bakes_of_one_recipe_are_bit_equal_and_another_seed_is_not(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        bake(replace(MINIATURE, seed=seed), tmp_path / name)
    files = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert files == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    one, other = (tmp_path / name / "model.safetensors" for name in ("one", "other"))
    assert one.read_bytes() != other.read_bytes()


def test_the_learning_rate_climbs_to_its_peak_and_falls_to_zero() -> None:
    schedule = Schedule(steps=100, peak_rate=1.0, warmup_steps=10)
    rates = [schedule.adam(step).learning_rate for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[50] == pytest.approx(0.5)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001


def test_measuring_what_is_not_a_model_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--evaluate", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"tinkery-local bake-tiny: {tmp_path / 'config.json'} does not exist; "
        "a model folder holds config.json and *.safetensors.\n"
    )


def test_an_output_folder_that_cannot_be_made_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file")]) == 2
    assert "File exists" in capsys.readouterr().err
