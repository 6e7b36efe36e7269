"""Services that start, answer, fail to, or are lost: always in bounded time, always with a word on why."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tinker
from tinkery_core import local_service
from tinkery_core.backend import HostedBackend, LocalBackend
from tinkery_core.errors import ServiceError, UserError
from tinkery_core.local_service import LocalService
from tinkery_core.remote_service import bypass_proxy_on_loopback
from tinkery_core.watch import failing_when
from tinkery_local.testing import RunningServer

TINY = ["tinkery/tiny"]


async def sample(service: tinker.ServiceClient) -> list[int]:
    client = await service.create_sampling_client(base_model="tinkery/tiny")
    params = tinker.SamplingParams(max_tokens=2, seed=1)
    response = await client.sample(tinker.ModelInput.from_ints([5, 6]), num_samples=1, sampling_params=params)
    return response.sequences[0].tokens


async def test_a_server_of_ones_own_and_what_its_loss_does(workplace: Path) -> None:
    service = LocalBackend()(workplace, TINY)
    assert isinstance(service, LocalService)
    async with service.connect() as client:
        first = await sample(client)
    with pytest.raises(ServiceError) as error:
        async with service.connect() as client:
            assert await sample(client) == first
            service.process.kill()
            await asyncio.Event().wait()  # as for an answer that never comes
    service.close()
    assert str(error.value).startswith(
        f"The embedded server has ended (signal 9). The end of {workplace}/server.log:\n  "
    )


async def test_a_server_that_refuses_its_options(workplace: Path) -> None:
    service = LocalBackend()(workplace, ["tinkery/huge"])
    with pytest.raises(UserError) as error:
        async with service.connect():
            pass
    service.close()
    assert str(error.value).startswith("The embedded server refuses to start.\n")
    assert "tinkery/huge" in str(error.value)


async def test_a_server_that_takes_too_long(workplace: Path) -> None:
    service = LocalBackend(start_timeout_s=0.01)(workplace, TINY)
    with pytest.raises(ServiceError, match=r"not ready after 0\.01 s \(backend\.start_timeout_s\)"):
        async with service.connect():
            pass
    service.close()


def test_no_server_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_service, "SERVERS", "tinkery.servers.of.another.kind")
    with pytest.raises(UserError) as error:
        LocalBackend().check()
    assert str(error.value) == (
        "backend=local needs the embedded server, which is not installed.\n"
        "Type `uv add tinkery-local`, or choose backend=hosted or backend.base_url=http://…"
    )
    LocalBackend(base_url="http://127.0.0.1:9").check()


async def test_any_server_by_its_url(server: RunningServer, workplace: Path) -> None:
    service = LocalBackend(base_url=server.url)(workplace, TINY)
    async with service.connect() as client:
        assert len(await sample(client)) == 2
    service.close()
    assert list(workplace.iterdir()) == []


async def test_the_hosted_backend_takes_key_and_url_from_the_environment(
    server: RunningServer, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="TINKER_API_KEY is not set"):
        HostedBackend().check()
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    monkeypatch.setenv("TINKER_BASE_URL", server.url)
    HostedBackend().check()
    async with HostedBackend()(workplace, TINY).connect() as client:
        assert len(await sample(client)) == 2


async def test_nobody_at_the_url(workplace: Path) -> None:
    service = LocalBackend(base_url="http://127.0.0.1:9")(workplace, TINY)
    with pytest.raises(UserError) as error:
        async with service.connect():
            pass
    assert str(error.value) == (
        "backend.base_url=http://127.0.0.1:9: nothing listens there (Connect call failed ('127.0.0.1', 9)).\n"
        "Start a server with `tinkery-local serve`, or leave backend.base_url out to have one for the run."
    )


CLIENT_OF_A_SILENT_SERVICE = """
import asyncio, os, socket, sys
from pathlib import Path
from tinkery_core.backend import LocalBackend
from tinkery_core.errors import ServiceError

async def never_answers(folder):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with LocalBackend(base_url=url, start_timeout_s=0.2)(folder, ["tinkery/tiny"]).connect():
            pass

async def falls_silent(folder):
    own = LocalBackend()(folder, ["tinkery/tiny"])
    async with own.connect():
        url = own.url
    async with LocalBackend(base_url=url, patience_s=0.5)(folder, ["tinkery/tiny"]).connect():
        own.close()
        await asyncio.Event().wait()

try:
    asyncio.run(globals()[sys.argv[1]](Path(sys.argv[2])))
except ServiceError as error:
    print(error, flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("never_answers", r"has not answered for 0\.2 s\.\nCheck backend\.base_url"),
        ("falls_silent", r"has not answered for 0\.5 s|does not answer any more"),
    ],
)
def test_a_silent_service_ends_the_run(service: str, message: str, workplace: Path) -> None:
    # In a process of its own: the SDK goes on waiting in its threads, and other clients of the process with it.
    client = [sys.executable, "-c", CLIENT_OF_A_SILENT_SERVICE, service, str(workplace)]
    ended = subprocess.run(client, capture_output=True, text=True, timeout=60, check=False)
    assert re.search(message, ended.stdout), ended.stderr


async def test_a_body_that_ends_first_is_not_touched() -> None:
    lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with failing_when(lost):
        pass
    async with failing_when(asyncio.sleep(0, "lost")):
        pass  # lost and left in the same turn of the loop
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_an_error_of_the_body_is_its_own() -> None:
    lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with pytest.raises(KeyError):
        async with failing_when(lost):
            raise KeyError("mine")


async def test_what_a_lost_service_breaks_is_blamed_on_it() -> None:
    lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with pytest.raises(ServiceError, match="gone"):
        async with failing_when(lost):
            lost.set_result("gone")
            await asyncio.sleep(0)
            raise ConnectionError("refused")


async def test_cancellation_from_outside_stays_cancellation() -> None:
    started = asyncio.Event()

    async def body() -> None:
        async with failing_when(asyncio.get_running_loop().create_future()):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(body())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "127.0.0.1,localhost"),
        ("example.org", "example.org,127.0.0.1,localhost"),
        ("localhost,example.org", "localhost,example.org,127.0.0.1"),
        ("127.0.0.1,localhost", "127.0.0.1,localhost"),
    ],
)
def test_loopback_bypasses_a_proxy(before: str | None, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        if before is not None:
            monkeypatch.setenv(name, before)
    bypass_proxy_on_loopback()
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == after
