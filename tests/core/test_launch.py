"""A script from the command line: what it prints, leaves behind and exits with."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tinkery_core.invocation import quoted
from tinkery_core.launch import launch
from tinkery_core.run import Run
from tinkery_demo.calling import NO_SERVER, Call, Spawn

LINES = """\
demo · tinkery/tiny (LoRA rank 32) · http://127.0.0.1:9 · here
step    0/3  reward 0
step    1/3  reward 0.5
step    2/3  reward 1
"""


def test_a_run(call: Call) -> None:
    ended = call("+experiment=long", "max_steps=3", NO_SERVER, "run_dir=here")
    assert ended.status == 0
    assert ended.err == ""
    lines, _, last = ended.out.partition("Done in ")
    assert lines == LINES
    assert last.split(" s: ", 1)[1] == (
        "reward 1\n"
        "Run folder: here\n"
        "To resume or repeat:\n"
        "  demo +experiment=long max_steps=3 backend.base_url=http://127.0.0.1:9 run_dir=here\n"
    )
    log = Path("here/log.txt").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in log] == ended.out.splitlines()


def test_the_default_run_folder_has_the_scripts_name(call: Call) -> None:
    assert call(NO_SERVER).status == 0
    (run_dir,) = Path("runs/demo").iterdir()
    assert json.loads((run_dir / "config.json").read_text())["run_dir"] == str(run_dir)


@pytest.mark.parametrize("run_dir", ["a b/c", "a,b", "it's", "x=1/y=2", "größe", "a\\b", 'a"b', "(a)"])
def test_what_is_printed_resumes_the_run(run_dir: str, call: Call) -> None:
    first = call(NO_SERVER, "note='1, 2'", f"run_dir={quoted(run_dir)}")
    assert first.status == 0
    again = shlex.split(first.out.splitlines()[-1])
    assert call(*again[1:]).status == 0
    assert [path.name for path in Path.cwd().iterdir()] == [run_dir.split("/")[0]]


def test_a_failure_says_how_to_resume_and_keeps_its_traceback_in_the_log(call: Call) -> None:
    ended = call("task=fail", NO_SERVER, "run_dir=here")
    assert ended.status == 1
    assert ended.err == (
        "ZeroDivisionError: division by zero in the environment\n"
        "The traceback is in here/log.txt. To resume:\n"
        "  demo task=fail backend.base_url=http://127.0.0.1:9 run_dir=here\n"
    )
    assert (
        'raise ZeroDivisionError("division by zero in the environment")' in Path("here/log.txt").read_text()
    )


def test_an_error_of_the_service(call: Call) -> None:
    ended = call("task=fail", "task.how=service", NO_SERVER, "run_dir=here")
    assert ended.status == 1
    assert ended.err.splitlines()[0] == "The service said no."


def test_an_error_of_the_user_in_mid_run(call: Call) -> None:
    ended = call("task=fail", "task.how=usage", NO_SERVER, "run_dir=here")
    assert ended.status == 2
    assert ended.err == "task.how=usage: this cannot work.\nType task.how=bug instead.\n"


def test_a_dry_run_prints_the_plan_and_leaves_nothing(call: Call, workplace: Path) -> None:
    ended = call("dry_run=true", "backend=hosted")
    assert ended.status == 0
    assert "the first prompt" in ended.out
    assert ended.out.splitlines()[0] == "demo · tinkery/tiny (LoRA rank 32) · hosted service · dry run"
    assert ended.out.splitlines()[-1] == "Nothing was started. Leave dry_run=true out to run this."
    assert list(workplace.iterdir()) == []


def test_a_different_config_in_the_same_folder(call: Call) -> None:
    call(NO_SERVER, "run_dir=here")
    ended = call(NO_SERVER, "run_dir=here", "seed=1")
    assert ended.status == 2
    assert "  seed: 0 there, 1 here\n" in ended.err


def test_help(call: Call) -> None:
    ended = call("--help")
    assert ended.status == 0
    text = " ".join(ended.out.split())
    assert text.startswith("Count, train or fail. Usage: demo ")
    assert "task count *, fail, train" in text
    assert "backend hosted, local *" in text
    assert "+experiment long" in text
    assert "seed 0 seed of data order, LoRA initialisation and sampling (int)" in text
    assert "demo +experiment=long -m seed=1,2,3" in text


def test_cfg(call: Call, workplace: Path) -> None:
    ended = call("--cfg", "job", "--resolve", "task.scale=2", "--package", "task")
    assert ended.out == "# @package task\n_target_: tinkery_demo.script.Count\nscale: 2\n"
    assert "demo: count" not in call("--info", "defaults-tree").out
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize("argument", ["--cfg=jb", "--nonsense", "--multi"])
def test_unknown_options(argument: str, call: Call) -> None:
    ended = call(argument)
    assert ended.status == 2
    assert "demo: error: " in ended.err


def test_version(call: Call) -> None:
    assert call("--version").out.startswith("tinkery 0.")


def test_another_primary_config(call: Call, workplace: Path) -> None:
    own = workplace / "mine" / "other.yaml"
    own.parent.mkdir()
    own.write_text("defaults: [script, {task: count}, _self_]\nmax_steps: 1\n")
    ended = call("--config-dir", "mine", "--config-name", "other", NO_SERVER, "run_dir=here")
    assert ended.status == 0
    assert ended.out.splitlines()[-1] == (
        "  demo --config-dir mine --config-name other backend.base_url=http://127.0.0.1:9 run_dir=here"
    )


def test_a_config_error_in_a_process_of_its_own(spawn: Spawn) -> None:
    process = spawn("sed=1")
    output, _ = process.communicate()
    assert output == "sed (command line): there is no such key in DemoConfig. Did you mean seed?\n"
    assert process.returncode == 2


def test_the_first_parameter_has_to_name_a_config_class() -> None:
    async def function(config: int, run: Run) -> None: ...

    with pytest.raises(TypeError, match="first parameter"):
        launch("tinkery_demo.conf", "demo")(function)


def test_a_terminal_shows_a_bar_with_reward_and_time_left() -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "tinkery_demo.script", NO_SERVER]
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, env=path) as process:
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # how Linux says that nobody writes to the terminal any more
            while more := os.read(controller, 4096):
                shown += more
    os.close(controller)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"3/3 reward 2 \S+ left", text)
    assert "step    2/3  reward 2" in text
