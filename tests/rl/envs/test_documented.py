"""The environments that docs/environments.md prints: each passes check-env, and can be trained on."""

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
from tinkery_rl.check_env.command import run_checks
from tinkery_rl.check_env.play import Bounds
from tinkery_rl.types import RLDatasetBuilder, RLSetup
from user_functions import TINY, call, calls

DOCUMENT = Path(__file__).parents[3] / "docs" / "environments.md"
EXAMPLES = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))

NAMES = {"capitals": "Capitals", "guess": "Guesses", "shop": "Shop", "count": "Counts"}
SAY = {
    "capitals": ["Paris", "Oslo"],
    "guess": ["5", "7"],
    "shop": [calls(call("price", '{"item": "apple"}'), call("price", '{"item": "gold"}')), "7"],
    "count": ["2,", "3,"],
}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in EXAMPLES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in EXAMPLES:
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_all_examples_are_tested_and_short() -> None:
    assert EXAMPLES.keys() == NAMES.keys()
    assert all(text.count("\n") <= 40 for text in EXAMPLES.values())


@pytest.mark.parametrize("name", NAMES)
def test_an_example_passes_check_env(name: str) -> None:
    setup = RLSetup(TINY, groups_per_batch=2, group_size=2, seed=0)
    findings = list(run_checks(f"{name}:{NAMES[name]}", {}, setup, Bounds(says=tuple(SAY[name]))))
    assert [finding for finding in findings if finding.status == "fail"] == []


def test_an_example_can_be_built_for_a_run() -> None:
    for name, builder in NAMES.items():
        made = getattr(import_module(name), builder)()
        assert isinstance(made, RLDatasetBuilder)
        assert len(made(RLSetup(TINY, 4, 2, 0)).train.get_batch(0)) == 4
