"""The server as a process: how it starts, and every way in which it has to end."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tinker
from tinker import types
from tinkery_local.testing import RunningServer, running_server

COMMAND = [sys.executable, "-m", "tinkery_local"]
PATIENCE = 60.0


def tinkery_local(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def serving(model: Path, store: Path) -> list[str]:
    return [*COMMAND, "serve", "--port", "0", "--announce", "--model", str(model), "--store", str(store)]


def test_a_busy_port_is_one_message(random_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = tinkery_local("serve", "--port", str(port), "--model", str(random_model))
    assert refused.returncode == 2 and refused.stdout == ""
    assert refused.stderr == (
        f"tinkery-local: --port {port}: something listens on 127.0.0.1:{port} already, perhaps another "
        "tinkery-local; stop it, choose another port, or let --port 0 find a free one.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "tinkery/tini"], "bundled models are tinkery/tiny. Did you mean tinkery/tiny?"),
        (["--model", "./nowhere"], "no such folder, and not a bundled model (tinkery/tiny) or hub id"),
        (["--model", "nobody/nothing"], "not in the Hugging Face cache"),
        (["--model", str(Path(__file__).parent)], "is not a model folder, it has no config.json"),
        (["--store", "/dev/null/store"], "--store /dev/null/store: can't be a folder (Not a directory)"),
        (["--also-store", "/dev/null"], "--also-store /dev/null: there is no such folder."),
        (["--host", "0.0.0.0"], "listens on loopback addresses only; use 127.0.0.1"),
        (["--host", "no.such.host.invalid"], "not an address of this machine"),
    ],
)
def test_what_can_not_be_served_is_one_message(arguments: list[str], message: str) -> None:
    refused = tinkery_local("serve", "--port", "0", *arguments)
    assert refused.returncode == 2 and message in refused.stderr
    assert refused.stderr.count("\n") == 1 or "Hugging Face" in refused.stderr


def test_a_hub_id_is_found_in_the_cache(random_model: Path, tmp_path: Path) -> None:
    commit = "0" * 40
    repository = tmp_path / "hub" / "models--someone--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(random_model, repository / "snapshots" / commit)
    found = subprocess.run(
        [sys.executable, "-c", "from tinkery_local.catalog import find; print(find('someone/model').folder)"],
        env={**os.environ, "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(repository / "snapshots" / commit)


def test_a_damaged_model_is_one_message(random_model: Path, tmp_path: Path) -> None:
    config = json.loads((random_model / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_act": "gelu"}))
    refused = tinkery_local("serve", "--port", "0", "--model", str(tmp_path))
    assert refused.returncode == 2 and "hidden_act is 'gelu'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_wrong_arguments_show_the_usage() -> None:
    refused = tinkery_local("serve", "--port", "high")
    assert refused.returncode == 2 and "argument --port" in refused.stderr
    assert "serve" in tinkery_local("--help").stdout


def test_ctrl_c_ends_it_cleanly(random_model: Path, server: RunningServer, store: Path) -> None:
    """A second server on the shared one's store, which does not mind."""
    with running_server("--model", str(random_model), "--store", str(store)) as second:
        assert second.url != server.url
        second.process.send_signal(signal.SIGINT)
        assert second.process.wait(PATIENCE) == 0


async def test_sigterm_finishes_the_saves_that_were_asked_for(random_model: Path, tmp_path: Path) -> None:
    """Work, a save, more work, then the signal at once: the checkpoint is there, and holds the work before it."""
    datum = types.Datum(
        model_input=types.ModelInput.from_ints([1] * 200),
        loss_fn_inputs={
            "target_tokens": types.TensorData.from_numpy(np.full(200, 2, np.int64)),
            "weights": types.TensorData.from_numpy(np.ones(200, np.float32)),
        },
    )
    arguments = ("--model", str(random_model), "--store", str(tmp_path))
    with running_server(*arguments) as server:
        client = tinker.ServiceClient(base_url=server.url, api_key="tml-local")
        trainer = await client.create_lora_training_client(base_model=server.models[0], rank=4)
        before = [trainer.forward_backward([datum] * 64, "cross_entropy") for _ in range(4)]
        save = trainer.save_state("asked")
        after = trainer.forward_backward([datum] * 64, "cross_entropy")
        await before[0]
        server.process.terminate()
        assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0
        for future in (*before, save, after):
            future.future().cancel()
    (saved,) = tmp_path.glob("*/weights/asked")
    assert (saved / "optimizer.safetensors").exists() and (saved / "checkpoint.json").exists()


def test_it_ends_with_its_stdin(random_model: Path, tmp_path: Path) -> None:
    with running_server("--model", str(random_model), "--store", str(tmp_path)) as server:
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(PATIENCE) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the end of stdin tells")
def test_it_ends_when_its_parent_is_killed(random_model: Path, tmp_path: Path) -> None:
    """Even if another process holds the other end of its stdin, as a data loader of the parent would."""
    parent = (
        "import subprocess, sys, time\n"
        "server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], close_fds=False)\n"
        "print(server.stdout.readline(), child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [*serving(random_model, tmp_path), "--exit-with-stdin"]
    with subprocess.Popen(
        [sys.executable, "-c", parent, *command], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        announced = json.loads(process.stdout.readline())
        child = int(process.stdout.readline())
        process.kill()
        wait_until_gone(announced["pid"])
        os.kill(child, signal.SIGKILL)


def wait_until_gone(pid: int) -> None:
    """Wait for a process that is nobody's child here."""
    deadline = time.monotonic() + PATIENCE
    while (
        Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]
    ):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.02)
