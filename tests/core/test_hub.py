"""Models of the hub where the hub is out of reach."""

import socket
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from huggingface_hub import constants
from tinkery_core.errors import UserError
from tinkery_core.hub import why_unreachable
from tinkery_core.tokenizer import load_tokenizer


class Refusing(BaseHTTPRequestHandler):
    """Answers every question with 404."""

    def do_HEAD(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def refusing() -> Generator[str]:
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_model_of_a_hub_out_of_reach_is_refused_without_retries(
    nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", nobody)
    with pytest.raises(UserError) as error:
        load_tokenizer("nobody/nothing")
    assert str(error.value) == (
        "model.name=nobody/nothing: no tokenizer found.\n"
        "Expected tinkery/…, a folder with a tokenizer.json, or a model of the Hugging Face hub, which cannot be "
        "reached ([Errno 111] Connection refused); it is not in this machine's cache either."
    )
    assert constants.HF_HUB_OFFLINE is False


def test_what_is_out_of_reach(nobody: str, refusing: str) -> None:
    assert why_unreachable(nobody, 5) == "[Errno 111] Connection refused"
    assert why_unreachable("http://no.such.host.invalid", 5) is not None
    assert why_unreachable(refusing, 5) is None, "an answer is an answer, whatever it says"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert why_unreachable(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.05) is not None
