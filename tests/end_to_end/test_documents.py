"""What the documents tell people to type is there to be typed, and what they link to exists."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from tinkery_core.cli import find_script
from tinkery_core.config.compose import compose
from tinkery_core.config.loader import make_loader
from tinkery_core.config.resolve import resolve
from tinkery_core.evaluators import build_evaluators

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "packages").glob("*/README.md"),
]


def train_commands() -> list[str]:
    """Each command of a launch script, with its arguments, in a code block or a code span."""
    texts = [document.read_text() for document in DOCUMENTS]
    commands = {
        match
        for text in texts
        for match in re.findall(r"uv run (?:tinkery (?:explain|show-data) )?(train-[a-z]+ [^\n`#]+)", text)
    }
    return sorted(command.strip() for command in commands)


@pytest.mark.parametrize("command", train_commands())
def test_a_printed_command_resolves(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    name, *words = shlex.split(command)
    if "+experiment=mine" in words:
        write_the_documented_experiment(tmp_path)
    if "env=capitals" in words:
        write_files_of("environments.md", tmp_path)
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    overrides = [word for word in words if not word.startswith("-")]
    if "-m" in words:
        overrides = [re.sub(r"=([^,]+),.*", r"=\1", override) for override in overrides]
    overrides = [
        override for override in overrides if not override.startswith("hydra")
    ]  # who launches, not what
    script = find_script(name)
    loader = make_loader(script.conf, None)
    resolve(script.config_class, compose(loader, script.config_name, script.name, overrides))


def write_the_documented_experiment(folder: Path) -> None:
    """`conf/experiment/mine.yaml` as docs/configuration.md prints it."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    (example,) = re.findall(r"```yaml\n(# @package _global_\n.*?)```", text, re.DOTALL)
    path = folder / "conf" / "experiment" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(example)


def write_files_of(document: str, folder: Path) -> str:
    """Write the code blocks that begin with the path of a file, and return the whole text."""
    text = (ROOT / "docs" / document).read_text()
    for path, content in re.findall(r"```(?:yaml|python)\n# (\S+)\n(.*?)```", text, re.DOTALL):
        folder.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(path).write_text(content)
    return text


def test_the_documented_evaluators_can_be_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = write_files_of("configuration.md", tmp_path)
    (row,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    tmp_path.joinpath("manners.jsonl").write_text(row)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    script = find_script("train-math")
    loader = make_loader(script.conf, None)
    config = resolve(
        script.config_class, compose(loader, script.config_name, script.name, ["+experiment=evaluated"])
    )
    assert config.evaluators.keys() == {"greedy", "manners", "brevity"}
    assert len(build_evaluators(config, max_tokens=8, temperature=1.0)) == 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    for target in targets:
        assert (document.parent / target).exists(), target
