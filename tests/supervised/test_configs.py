"""The YAML that docs/train-sft.md prints, and what makes no sense in a config."""

import re
from pathlib import Path

import pytest
from tinkery_core.config.compose import compose
from tinkery_core.config.loader import make_loader
from tinkery_core.config.resolve import resolve
from tinkery_core.errors import UserError
from tinkery_supervised.config import SupervisedConfig
from tinkery_supervised.hub import HubBuilder, PromptAndAnswer
from tinkery_supervised.jsonl import JsonlBuilder
from tinkery_supervised.mixture import MixtureBuilder

DOCUMENT = Path(__file__).parents[2] / "docs" / "train-sft.md"


def resolved(*overrides: str) -> SupervisedConfig:
    loader = make_loader("tinkery_supervised.conf", None)
    return resolve(SupervisedConfig, compose(loader, "train_sft", "train-sft", list(overrides)))


def test_the_documented_yaml_builds_what_it_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "dataset").mkdir(parents=True)
    for path, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
        (tmp_path / path).write_text(text)
    assert resolved("dataset=questions").dataset == HubBuilder(
        name="my/questions", num_test=200, rows=PromptAndAnswer(prompt="question", answer="best_answer")
    )
    general = HubBuilder(name="HuggingFaceH4/no_robots", test_split="test")
    ours = JsonlBuilder(path="chats.jsonl", train_on="last_assistant")
    mixture = MixtureBuilder(
        sources={"general": general, "ours": ours}, weights={"general": 3.0, "ours": 1.0}
    )
    assert resolved("dataset=mix").dataset == mixture
    changed = resolved("dataset=mix", "dataset.weights.ours=2", "dataset.sources.ours.path=b.jsonl").dataset
    assert isinstance(changed, MixtureBuilder)
    assert changed.weights == {"general": 3.0, "ours": 2.0}
    assert changed.sources["ours"] == JsonlBuilder(path="b.jsonl", train_on="last_assistant")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["batch_size=0"], "batch_size=0 (command line): expected at least 1."),
        (["batch_tokens=0"], "batch_tokens=0 (command line): expected at least 1."),
        (["submit_ahead=-1"], "submit_ahead=-1 (command line): expected at least 0."),
        (["on_bad_row=ignore"], "on_bad_row=ignore (command line): expected one of fail, skip"),
        (["dataset.train_on=last"], "dataset.train_on=last (command line): expected one of last_assistant, all_assist"),
        (["dataset=jsonl"], "dataset.path (str): file of JSON lines with messages"),
        (["dataset=jsonl", "dataset.path=a", "dataset.test_path=b", "dataset.num_test=1"], "set one of them"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_fails_when_the_config_is_built(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        resolved(*overrides)
    assert message in str(raised.value)
