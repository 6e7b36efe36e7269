"""The packages' walls: who may import whom, and no torch anywhere."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "local": set(),
    "rl": {"core"},
    "supervised": {"core"},
    "recipes-math": {"core", "rl", "supervised"},
    "recipes-multiplayer": {"core", "rl", "supervised"},
}


def imported_packages(source: Path) -> set[str]:
    """Top-level names that a file imports anywhere in it, functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_the_packages_it_may(package: str) -> None:
    module_of = {name: "tinkery_" + name.replace("-", "_") for name in MAY_IMPORT}
    forbidden = {
        module_of[name] for name in MAY_IMPORT if name != package and name not in MAY_IMPORT[package]
    }
    sources = list((ROOT / "packages" / package / "src").rglob("*.py"))
    assert sources
    for source in sources:
        assert not imported_packages(source) & (forbidden | {"torch"}), source


def test_every_package_is_known_here() -> None:
    assert {folder.name for folder in (ROOT / "packages").iterdir() if folder.is_dir()} == set(MAY_IMPORT)
