"""A run that is ended at some moment, by a person or by fate, and started again."""

import os
import select
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tinkery_core.jsonl import read_lines
from tinkery_demo.calling import NO_SERVER, Call, Spawn

SOON_S = 30.0


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if text in line:
            return read
    raise AssertionError(f"{text!r} did not come:\n{read}")


def servers(run_dir: Path) -> list[int]:
    """Processes that serve this run, found by the folder on their command line."""
    found = subprocess.run(["pgrep", "-f", f"tinkery_local serve.*{run_dir}"], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]


def end_by_ctrl_c(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGINT)


def end_by_sigterm(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGTERM)


def end_server(process: "subprocess.Popen[str]") -> None:
    os.kill(servers(Path("here"))[0], signal.SIGKILL)


ENDINGS: list[tuple[Callable[["subprocess.Popen[str]"], None], int, str]] = [
    (end_by_ctrl_c, 130, "Interrupted. What was saved is complete. To resume:"),
    (end_by_sigterm, 130, "Interrupted. What was saved is complete. To resume:"),
    (end_server, 1, "The embedded server has ended (signal 9)."),
]


def test_ended_in_every_way_and_resumed_each_time(spawn: Spawn) -> None:
    arguments = ("task=train", "max_steps=400", "run_dir=here")
    steps: list[object] = []
    for end, status, message in ENDINGS:
        process = spawn(*arguments)
        start = read_until(process, "step ")
        assert ("Resuming after" in start) == bool(steps)
        read_until(process, "step ")
        read_until(process, "step ")
        end(process)
        rest, _ = process.communicate()
        assert process.returncode == status, rest
        assert message in rest
        assert "Traceback" not in rest
        assert rest.endswith(f"To resume:\n  python -m tinkery_demo.script {' '.join(arguments)}\n")
        assert servers(Path("here")) == []
        before, steps = steps, [record["step"] for record in read_lines(Path("here/metrics.jsonl"))]
        assert steps == list(range(len(steps)))
        assert len(steps) > len(before)

    process = spawn(*arguments)
    read_until(process, "step ")
    (server,) = servers(Path("here"))
    process.kill()
    with os.fdopen(os.pidfd_open(server)) as ended:
        assert select.select([ended], [], [], SOON_S)[0], "the server outlived its client"


def test_a_finished_run_is_not_repeated_and_a_lost_checkpoint_is_named(call: Call) -> None:
    train = ("task=train", "max_steps=3", "run_dir=here")
    assert call(*train).status == 0
    before = Path("here/metrics.jsonl").read_bytes()
    again = call(*train)
    assert again.status == 0
    assert "Resuming after 3 steps (final checkpoint)" in again.out
    assert Path("here/metrics.jsonl").read_bytes() == before

    lines = Path("here/checkpoints.jsonl").read_text().splitlines(keepends=True)
    Path("here/checkpoints.jsonl").write_text("".join(lines[:2]).replace("weights/000002", "weights/999999"))
    ended = call(*train)
    assert ended.status == 1
    assert ended.err.startswith("The checkpoint of step 2 cannot be loaded: tinker://")
    assert "To resume from the one before, delete the last line of here/checkpoints.jsonl" in ended.err


def test_an_unknown_model(call: Call) -> None:
    ended = call("task=train", "model.name=tinkery/huge", "run_dir=here")
    assert ended.status == 2
    assert ended.err.startswith("The embedded server refuses to start.\n")
    assert "tinkery/huge" in ended.err
    assert "Traceback" not in ended.err
    corrected = call("task=count", "run_dir=here", NO_SERVER)
    assert corrected.status == 0, "a run that got nowhere binds nobody to its config"
