"""How a script was called, and how to call it again."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString


@dataclass(frozen=True)
class Invocation:
    """The program's name and the options that a repeated call needs."""

    program: str
    config_dir: str | None = None
    config_name: str | None = None

    def resume_command(self, overrides: Sequence[str], run_dir: str) -> str:
        """The command that resumes the run in `run_dir`."""
        options: list[str] = []
        if self.config_dir is not None:
            options += ["--config-dir", self.config_dir]
        if self.config_name is not None:
            options += ["--config-name", self.config_name]
        kept = [override for override in overrides if override.lstrip("+").partition("=")[0] != "run_dir"]
        value = run_dir if re.fullmatch(r"[A-Za-z0-9_./-]+", run_dir) else quoted(run_dir)
        return f"{self.program} {shlex.join([*options, *kept, f'run_dir={value}'])}"


def quoted(text: str) -> str:
    """Text as the value of a Hydra override."""
    return QuotedString(text, Quote.double).with_quotes()


def program_name() -> str:
    """What was typed to start this process, up to the arguments."""
    module = sys.modules["__main__"].__spec__
    path = Path(sys.argv[0])
    if module is not None:
        typed = f"python -m {module.name}"
    else:
        typed = f"python {path}" if path.suffix == ".py" else path.name
    return f"uv run {typed}" if "UV_RUN_RECURSION_DEPTH" in os.environ else typed
