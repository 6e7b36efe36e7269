"""The teaching script, run as a reader would run it."""

import re
import sys

import pytest
from tinkery_supervised import sl_loop


def run(monkeypatch: pytest.MonkeyPatch, url: str, arguments: str) -> None:
    """`python -m tinkery_supervised.sl_loop` in this process, which has imported what it needs."""
    monkeypatch.setenv("TINKER_BASE_URL", url)
    monkeypatch.delenv("TINKER_API_KEY", raising=False)
    monkeypatch.setattr(sys, "argv", ["sl_loop", *arguments.split()])
    sl_loop.main()


def test_it_teaches_the_tiny_model_a_parrots_manner(
    server_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, server_url, "--steps 25")
    printed = capsys.readouterr().out
    losses = [float(nll) for nll in re.findall(r"^step +\d+  nll ([\d.]+)", printed, re.MULTILINE)]
    assert len(losses) == 25
    assert losses[-1] < losses[0] / 5
    before, after = (re.findall(rf"^  {when} +(.*)$", printed, re.MULTILINE) for when in ("before", "after"))
    assert len(before) == len(after) == len(sl_loop.QUESTIONS)
    assert not any("Squawk!" in answer for answer in before)
    assert all(answer.startswith("Squawk!") for answer in after)


def test_without_a_service_it_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "", "")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("sl_loop: neither TINKER_BASE_URL nor TINKER_API_KEY is set")
