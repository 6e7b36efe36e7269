"""The command `tinkery`, and commands that other packages bring."""

import sys
from pathlib import Path

import pytest
from tinkery_core.cli import main


@pytest.fixture
def greeting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with the command `greet`."""
    package = tmp_path / "installed"
    info = package / "greeting-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tinkery.commands]\ngreet = tinkery_greeting:greet\n")
    (package / "tinkery_greeting.py").write_text(
        "from tinkery_core.errors import UserError\n"
        "def greet(arguments):\n"
        '    """Say hello.\n\n    More than one line.\n    """\n'
        "    if not arguments:\n"
        "        raise UserError('Whom? Type `tinkery greet NAME`')\n"
        "    print('hello', *arguments)\n"
        "    return 7\n"
    )
    monkeypatch.setattr(sys, "path", [str(package), *sys.path])
    monkeypatch.delitem(sys.modules, "tinkery_greeting", raising=False)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["tinkery", *arguments])
    try:
        main()
    except SystemExit as ended:
        return ended.code
    return 0


@pytest.mark.usefixtures("greeting")
def test_a_command_of_another_package_gets_its_arguments_and_gives_the_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "greet", "--loud", "you") == 7
    assert capsys.readouterr().out == "hello --loud you\n"


@pytest.mark.usefixtures("greeting")
def test_help_lists_the_installed_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--help") == 0
    printed = capsys.readouterr().out
    assert "  greet        Say hello.\n" in printed
    assert "  explain      Print every key of a script's config, and where its value comes from.\n" in printed
    assert call(monkeypatch) == 2


@pytest.mark.usefixtures("greeting")
def test_what_was_typed_wrong_is_a_message_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "greet") == 2
    assert capsys.readouterr().err == "Whom? Type `tinkery greet NAME`\n"
    assert call(monkeypatch, "gret") == 2
    message = capsys.readouterr().err
    assert message.startswith("tinkery has no command gret. Did you mean greet?\nInstalled: explain, ")


def test_only_the_command_that_is_called_is_loaded(
    greeting: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "explain", "no-such-script") == 2
    assert "There is no installed script no-such-script" in capsys.readouterr().err
    assert "tinkery_greeting" not in sys.modules
