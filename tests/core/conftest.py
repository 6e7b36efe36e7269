"""The demo script called as a user would call it, and one embedded server for the tests that need any."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from tinkery_core.launch import Script
from tinkery_local.testing import RunningServer, running_server

if TYPE_CHECKING:
    from tinkery_demo.calling import Call, Spawn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

# No test judges by the clock.
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")


@pytest.fixture(scope="session")
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one server compiled, the next one finds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, compile_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has an empty working directory, and neither a key nor a proxy."""
    monkeypatch.chdir(tmp_path)
    for name in ("TINKER_API_KEY", "TINKER_CREDENTIAL_CMD", "TINKER_BASE_URL", "UV_RUN_RECURSION_DEPTH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(compile_cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(sys, "exit", sys.exit)  # wandb puts its own there, and leaves it
    return tmp_path


@pytest.fixture(scope="session")
def demo() -> Script:
    """The demo script."""
    from tinkery_demo.script import demo

    return demo


@pytest.fixture
def call(demo: Script, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Generator[Call]:
    """Call the demo script in this process."""
    from tinkery_demo.calling import Ended

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["demo", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            demo()
        captured = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, captured.out, captured.err)

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield run
    # Hydra's --info adds a handler of its own.
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def spawn() -> Generator[Spawn]:
    """Start the demo script as a process of its own."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tinkery_demo.script", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE)},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        with process:
            process.kill()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, compile_cache: Path) -> Generator[RunningServer]:
    """A server of the bundled model that tests share which don't stop it."""
    store = tmp_path_factory.mktemp("store")
    with running_server("--store", str(store), env={"XDG_CACHE_HOME": str(compile_cache)}) as running:
        yield running
