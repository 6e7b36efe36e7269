"""`tinkery show-data`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from tinkery_core.cli import run_command
from tinkery_core.errors import UserError
from tinkery_supervised.jsonl import JsonlBuilder
from tinkery_supervised.show_data import marked
from tinkery_supervised.types import SupervisedSetup

WriteChats = Callable[..., Path]

ROW: dict[str, object] = {
    "messages": [
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hello! How are you?"},
        {"role": "user", "content": "Sort: 3 1 2"},
        {"role": "assistant", "content": "1 2 3"},
    ]
}


def test_learned_tokens_are_marked_and_counted(
    write_chats: WriteChats, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_chats([ROW, "{"])
    typed = ["dataset=jsonl", f"dataset.path={path}", "dataset.train_on=last_assistant", "on_bad_row=skip"]
    assert run_command(["show-data", "train-sft", *typed]) == 0
    printed = capsys.readouterr().out
    assert (
        "<｜User｜>Hello!<｜Assistant｜>Hello! How are you?<｜end▁of▁sentence｜>"
        "<｜User｜>Sort: 3 1 2<｜Assistant｜>⟦1 2 3<｜end▁of▁sentence｜>⟧"
    ) in printed
    assert "example 0: " in printed
    assert "0 rows with nothing to learn, 1 bad rows" in printed
    assert f"  {path} line 2: not JSON: Expecting property name" in printed


def test_a_terminal_shows_them_in_colour(write_chats: WriteChats, setup: SupervisedSetup) -> None:
    (example,) = JsonlBuilder(path=str(write_chats([ROW])))(setup).train.get_batch(0).examples_D
    console = Console(force_terminal=True, color_system="standard", width=200)
    with console.capture() as capture:
        console.print(marked(example, setup.model.load_chat(), in_colour=True))
    assert "\x1b[1;32m1 2 3<｜end▁of▁sentence｜>\x1b[0m" in capture.get()
    assert "⟦" not in capture.get()


def test_a_script_without_conversations_is_refused() -> None:
    with pytest.raises(UserError) as raised:
        run_command(["show-data", "train-math"])
    assert str(raised.value) == (
        "train-math trains on no conversations. Expected a supervised script, e.g. train-sft."
    )


def test_another_batch_and_fewer_examples_may_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["show-data", "train-sft", "+experiment=sft_small", "--num", "1", "--batch", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("example ") == 1
    assert "Squawk!" in printed and "batch 2: 16 examples" in printed
