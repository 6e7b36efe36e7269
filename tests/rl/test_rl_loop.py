"""The teaching script, run as a reader would run it."""

import re
import socket
import statistics
import sys
from typing import Protocol

import pytest
from tinkery_rl import rl_loop


class Server(Protocol):
    """What is needed of the embedded server of `conftest.py`."""

    @property
    def url(self) -> str: ...


def run(monkeypatch: pytest.MonkeyPatch, url: str, arguments: str) -> None:
    """`python -m tinkery_rl.rl_loop` in this process, which has imported what it needs."""
    monkeypatch.setenv("TINKER_BASE_URL", url)
    monkeypatch.delenv("TINKER_API_KEY", raising=False)
    monkeypatch.setattr(sys, "argv", ["rl_loop", *arguments.split()])
    rl_loop.main()


def rewards(printed: str) -> list[float]:
    lines = re.findall(r"^step +(\d+)  reward ([\d.]+)  datums +\d+  [\d.]+ s$", printed, re.MULTILINE)
    assert [int(step) for step, _ in lines] == list(range(len(lines)))
    return [float(reward) for _, reward in lines]


def test_it_teaches_the_tiny_model_to_add(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, server.url, "--steps 8 --groups 8 --group-size 8 --seed 3")
    rewards_by_step = rewards(capsys.readouterr().out)
    assert len(rewards_by_step) == 8
    assert rewards_by_step[0] < 0.5
    assert statistics.mean(rewards_by_step[-3:]) > 0.7


def test_equal_seeds_print_equal_rewards(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed: list[list[float]] = []
    for seed in (0, 0, 1):
        run(monkeypatch, server.url, f"--steps 2 --groups 4 --group-size 4 --seed {seed}")
        printed.append(rewards(capsys.readouterr().out))
    first, again, other = printed
    assert first == again != other


def test_without_a_service_it_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "", "")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "rl_loop: neither TINKER_BASE_URL nor TINKER_API_KEY is set, so there is no service to train on.\n"
        "Type `uv run tinkery-local serve` in another terminal, and here\n"
        "  export TINKER_BASE_URL=http://127.0.0.1:8000 TINKER_API_KEY=tml-local\n"
    )


def test_a_dead_address_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: nobody else can have the port
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SystemExit) as ended:
            run(monkeypatch, url, "")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"rl_loop: TINKER_BASE_URL={url}: nothing listens there (Connection refused).\n"
        "Type `uv run tinkery-local serve` in another terminal.\n"
    )
