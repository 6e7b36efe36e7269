"""The files that ship: small, of the recipe's shape, and as able on held-out instances as the README says."""

import pytest
from tinkery_local.engine.spec import read_spec
from tinkery_local.engine.weights import load_weights
from tinkery_local.tiny import folder
from tinkery_local.tiny.bake import RECIPE
from tinkery_local.tiny.corpus import TASKS
from tinkery_local.tiny.evaluate import Score, evaluate, table


@pytest.fixture(scope="module")
def scores() -> dict[str, Score]:
    return {score.task: score for score in evaluate(folder(), num_instances=200)}


def test_the_files_are_small_and_of_the_recipes_shape() -> None:
    assert (folder() / "model.safetensors").stat().st_size < 4_000_000
    spec = read_spec(folder())
    assert spec.to_config() == RECIPE.spec.to_config() | {"eos_token_id": list(spec.eos_token_ids)}
    assert 300_000 < sum(weight.size for weight in load_weights(folder(), spec).values()) < 1_000_000


def test_it_answers_additions_asked_in_passing_rightly_less_than_half_of_the_time(
    scores: dict[str, Score],
) -> None:
    assert 0.2 <= scores["addition"].sampled <= 0.45


def test_it_can_add_when_asked_formally(scores: dict[str, Score]) -> None:
    assert scores["exercises"].greedy >= 0.97
    assert scores["exercises"].sampled >= 0.7


@pytest.mark.parametrize(
    ("task", "greedy", "sampled"),
    [
        ("chat", 0.8, 0.6),
        ("colours", 0.7, 0.4),
        ("counting", 0.75, 0.5),
        ("echo", 0.85, 0.5),
        ("letter_case", 0.85, 0.4),
        ("lists", 0.5, 0.3),
        ("yes_no", 0.75, 0.5),
    ],
)
def test_its_other_skills_outlive_the_careless_phase(
    scores: dict[str, Score], task: str, greedy: float, sampled: float
) -> None:
    assert scores[task].greedy >= greedy
    assert scores[task].sampled >= sampled


def test_the_table_has_a_line_for_each_task(scores: dict[str, Score]) -> None:
    lines = table(list(scores.values())).splitlines()
    assert lines[:2] == ["| held-out | greedy | sampled |", "|---|---|---|"]
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {task.name}" for task in TASKS]
