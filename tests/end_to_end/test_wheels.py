"""Each package, installed alone from its wheel into an empty environment outside the checkout."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = os.environ.get("UV", "uv")

NEEDS: dict[str, list[str]] = {
    "tinkery-core": [],
    "tinkery-local": [],
    "tinkery-rl": ["tinkery-core"],
    "tinkery-supervised": ["tinkery-core"],
    "tinkery-recipes-math": ["tinkery-core", "tinkery-rl"],
    "tinkery-recipes-multiplayer": ["tinkery-core", "tinkery-rl"],
}
CHECKS: dict[str, list[list[str]]] = {
    "tinkery-core": [["tinkery", "--help"]],
    "tinkery-local": [
        ["tinkery-local", "--help"],
        [
            "python",
            "-c",
            "from tinkery_local.tiny import folder; assert (folder() / 'model.safetensors').is_file()",
        ],
    ],
    "tinkery-rl": [["python", "-c", "import tinkery_rl.types"]],
    "tinkery-supervised": [
        ["train-sft", "+experiment=sft_small", "--cfg", "job"],
        ["tinkery", "explain", "train-sft", "+experiment=no_robots"],
        [
            "python",
            "-c",
            "from tinkery_supervised.parrot.builder import PATH; assert PATH.is_file()",
        ],
    ],
    "tinkery-recipes-math": [
        ["train-math", "--cfg", "job"],
        ["train-math", "+experiment=grpo_small", "--cfg", "job"],
        ["tinkery", "explain", "train-math", "+experiment=grpo_small"],
    ],
    "tinkery-recipes-multiplayer": [["python", "-c", "import tinkery_recipes_multiplayer"]],
}


def run(command: list[str], *, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of all packages, each built out of its own sdist (no network: hatchling is a dev dependency)."""
    out = tmp_path_factory.mktemp("wheels")
    run([UV, "build", "--all-packages", "--no-build-isolation", "--offline", "--out-dir", str(out)], cwd=ROOT)
    return out


def test_configs_travel_in_sdists_and_wheels(wheels: Path) -> None:
    (wheel,) = wheels.glob("tinkery_recipes_math-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "tinkery_recipes_math/conf/experiment/grpo_small.yaml" in names
    assert "tinkery_recipes_math/py.typed" in names


@pytest.mark.parametrize("package", NEEDS)
def test_a_package_works_alone(package: str, wheels: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    base = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    locked = ["--frozen", "--offline", "--no-dev", "--no-install-workspace"]
    run(
        [UV, "sync", *locked, "--package", package],
        cwd=ROOT,
        env=base | {"UV_PROJECT_ENVIRONMENT": str(environment)},
    )
    own = [next(wheels.glob(f"{name.replace('-', '_')}-*.whl")) for name in [package, *NEEDS[package]]]
    install = [
        UV,
        "pip",
        "install",
        "--offline",
        "--no-deps",
        "--python",
        str(environment / "bin" / "python"),
    ]
    run([*install, *map(str, own)], cwd=tmp_path, env=base)
    for command, *arguments in CHECKS[package]:
        run([str(environment / "bin" / command), *arguments], cwd=tmp_path, env=base)
    assert not list(environment.glob("lib/python*/site-packages/torch"))
