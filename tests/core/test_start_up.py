"""Start-up is a feature: nothing heavy is imported before it is needed."""

import subprocess
import sys

import pytest

HEAVY = {"tinker", "renderers", "transformers", "tokenizers", "numpy", "openai", "wandb", "jax", "pydantic"}


@pytest.mark.parametrize(
    "module", ["backend", "chat", "checkpoints", "completers", "evaluators", "launch", "plan"]
)
def test_modules_that_config_classes_live_in_are_light(module: str) -> None:
    code = f"import sys, tinkery_core.{module}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(loaded.stdout.split())
