"""The wire itself, without the client: order, repeats, long polls, and bodies that make no sense."""

import asyncio
from collections.abc import AsyncGenerator

import httpx
import numpy as np
import pytest
from tinkery_local.testing import RunningServer
from tinkery_local.wire import tinkery_wire_pb2 as pb

Json = dict[str, object]


class Wire:
    """Raw requests of one session."""

    def __init__(self, http: httpx.AsyncClient, session_id: str) -> None:
        self.http = http
        self.session_id = session_id

    async def post(self, path: str, body: Json) -> httpx.Response:
        return await self.http.post(f"/api/v1/{path}", json=body)

    async def promised(self, path: str, body: Json) -> str:
        response = await self.post(path, body)
        assert response.status_code == 200, response.text
        return response.json()["request_id"]

    async def forward_backward(self, model_id: str, seq_id: int, token: int = 1) -> str:
        response = await self.http.post(
            "/api/v1/forward_backward", content=loss_request(model_id, seq_id, token)
        )
        assert response.status_code == 200, response.text
        return response.json()["request_id"]

    async def result(self, request_id: str) -> httpx.Response:
        return await self.post("retrieve_future", {"request_id": request_id})

    async def model(self, base_model: str, model_seq_id: int = 0) -> str:
        created = await self.promised(
            "create_model",
            {
                "session_id": self.session_id,
                "model_seq_id": model_seq_id,
                "base_model": base_model,
                "lora_config": {"rank": 2},
            },
        )
        return (await self.result(created)).json()["model_id"]

    async def optim_step(self, model_id: str, seq_id: int) -> str:
        return await self.promised(
            "optim_step", {"model_id": model_id, "seq_id": seq_id, "adam_params": {"learning_rate": 0.01}}
        )


def loss_request(model_id: str, seq_id: int, token: int = 1) -> bytes:
    request = pb.ForwardBackwardRequest(model_id=model_id, seq_id=seq_id, loss_fn="cross_entropy")
    datum = request.data.add()
    datum.model_input.add().encoded_text.tokens = np.array([token, 2], "<i4").tobytes()
    for name, values, dtype in (
        ("target_tokens", np.array([2, 3], "<i8"), pb.INT64),
        ("weights", np.ones(2, "<f4"), pb.FLOAT32),
    ):
        datum.loss_fn_inputs[name].dense = values.tobytes()
        datum.loss_fn_inputs[name].dtype = dtype
    return request.SerializeToString()


def loss_of(response: httpx.Response) -> float:
    assert response.headers["content-type"] == "application/x-protobuf", response.text
    return pb.ForwardBackwardOutput.FromString(response.content).metrics["loss:sum"]


@pytest.fixture
async def wire(server: RunningServer) -> AsyncGenerator[Wire]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        session = (await http.post("/api/v1/create_session", json={})).json()["session_id"]
        yield Wire(http, session)
        await http.post(f"/api/v1/sessions/{session}/finish", json={})


async def test_requests_run_by_their_numbers(wire: Wire, base_model: str) -> None:
    """The same five requests, once in order and once not: the losses agree."""
    losses: list[list[float]] = []
    for model_seq_id, arrival in enumerate(([1, 2, 3, 4, 5], [3, 5, 4, 2, 1])):
        model = await wire.model(base_model, model_seq_id)
        promised: dict[int, str] = {}
        for seq_id in arrival:
            if seq_id in (2, 4):
                promised[seq_id] = await wire.optim_step(model, seq_id)
            else:
                promised[seq_id] = await wire.forward_backward(model, seq_id, token=seq_id)
        losses.append([loss_of(await wire.result(promised[seq_id])) for seq_id in (1, 3, 5)])
    assert losses[0] == losses[1]


async def test_a_repeated_request_runs_once(wire: Wire, base_model: str) -> None:
    once, twice = await wire.model(base_model, 0), await wire.model(base_model, 1)
    assert await wire.model(base_model, 1) == twice, "a repeated create_model is the same model"
    for model, repeats in ((once, 1), (twice, 3)):
        for _ in range(repeats):
            assert await wire.forward_backward(model, 1) == f"{model}:1"
            assert await wire.optim_step(model, 2) == f"{model}:2"
    after = [await wire.forward_backward(model, 3) for model in (once, twice)]
    first, second = [loss_of(await wire.result(request)) for request in after]
    assert first == second
    again = await wire.result(after[0])
    assert loss_of(again) == first, "a result can be fetched twice"


async def test_a_repeated_sample_is_the_same(wire: Wire, base_model: str) -> None:
    body: Json = {"session_id": wire.session_id, "sampling_session_seq_id": 0, "base_model": base_model}
    sampler = (await wire.post("create_sampling_session", body)).json()["sampling_session_id"]
    assert (await wire.post("create_sampling_session", body)).json()["sampling_session_id"] == sampler
    ask: Json = {
        "sampling_session_id": sampler,
        "seq_id": 0,
        "num_samples": 2,
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [1, 2]}]},
        "sampling_params": {"max_tokens": 8},
    }
    answers = [(await wire.post("asample", ask)).json() for _ in range(2)]
    assert answers[0] == answers[1] and len(answers[0]["sample_sequence_ids"]) == 2
    bodies = [(await wire.result(answers[0]["request_id"])).content for _ in range(2)]
    assert bodies[0] == bodies[1]


async def test_a_request_waits_for_those_before_it(wire: Wire, base_model: str) -> None:
    model = await wire.model(base_model)
    later = await wire.forward_backward(model, 2)
    poll = asyncio.create_task(wire.result(later))
    first = await wire.result(await wire.forward_backward(model, 1))
    assert loss_of(first) == loss_of(await poll)


async def test_two_clients_at_once_do_not_mix(wire: Wire, base_model: str) -> None:
    """Two models trained turn by turn end where each would have ended alone."""

    async def train(model: str, tokens: list[int]) -> float:
        last = ""
        for step, token in enumerate(tokens):
            last = await wire.forward_backward(model, 2 * step + 1, token)
            await wire.optim_step(model, 2 * step + 2)
        return loss_of(await wire.result(last))

    alone = await train(await wire.model(base_model, 0), [1, 2, 3])
    models = [await wire.model(base_model, index) for index in (1, 2)]
    together = await asyncio.gather(train(models[0], [1, 2, 3]), train(models[1], [7, 8, 9]))
    assert together[0] == alone != together[1]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail"),
    [
        ("POST", "create_session", b"\xff\x00\x01", 400, "the body is not JSON"),
        ("POST", "create_session", b"[1, 2]", 400, "must be a JSON object, not [1, 2]"),
        ("POST", "create_session", b"[" * 100_000, 400, "the body is not JSON"),
        ("POST", "create_model", b"{}", 422, "session_id: expected a string, got nothing"),
        ("POST", "create_model", b'{"session_id": "x"}', 404, "session 'x' is unknown"),
        ("POST", "forward_backward", b"\xff\xff\xff", 400, "not a ForwardBackwardRequest"),
        ("POST", "forward_backward", b"", 404, "model '' is unknown"),
        ("POST", "optim_step", b'{"model_id": 3}', 422, "model_id: expected a string, got 3"),
        ("POST", "asample", b'{"sampling_session_id": "x"}', 404, "sampler 'x' is unknown"),
        ("POST", "retrieve_future", b'{"request_id": "x"}', 404, "request 'x' is not known here"),
        ("POST", "weights_info", b'{"tinker_path": "tinker://a/b"}', 400, "is not of the form tinker://"),
        ("POST", "weights_info", b'{"tinker_path": "tinker://../weights/x"}', 400, "not starting with '.'"),
        ("POST", "nonsense", b"{}", 404, "this server has no POST /api/v1/nonsense"),
        ("GET", "asample", b"", 405, "this server has no GET /api/v1/asample"),
        ("GET", "training_runs?limit=x", b"", 422, "limit: expected a number, got 'x'"),
        ("GET", "training_runs/..%2F..%2Fetc/checkpoints", b"", 404, "this server has no GET"),
        ("DELETE", "training_runs/a/checkpoints/weights/%2E%2E", b"", 400, "not starting with '.'"),
        ("DELETE", "training_runs/a/checkpoints/passwords/x", b"", 400, "a checkpoint's kind is one of"),
        ("POST", "session_heartbeat", b'{"session_id": "x"}', 410, "session 'x' has ended"),
    ],
)
async def test_nonsense_is_refused_in_json(
    server: RunningServer, method: str, path: str, body: bytes, status: int, detail: str
) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        response = await http.request(method, f"/api/v1/{path}", content=body)
        assert response.status_code == status
        assert detail in response.json()["detail"]
        assert (await http.get("/api/v1/healthz")).json() == {"status": "ok"}


async def test_bytes_that_are_no_http_do_no_harm(server: RunningServer) -> None:
    url = httpx.URL(server.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"\x16\x03\x01" * 50 + b"\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()
    await writer.wait_closed()


async def test_a_number_that_was_refused_is_used_up(wire: Wire, base_model: str) -> None:
    """A request that is wrong in itself fails in its turn, and the next number runs."""
    model = await wire.model(base_model)
    wrong = await wire.promised("optim_step", {"model_id": model, "seq_id": 1, "adam_params": {"beta1": "x"}})
    right = await wire.forward_backward(model, 2)
    failed = (await wire.result(wrong)).json()
    assert failed["category"] == "user" and "adam_params.beta1: expected a number" in failed["error"]
    assert loss_of(await wire.result(right)) > 0


async def test_the_end_of_a_session_frees_what_it_held(wire: Wire, base_model: str) -> None:
    model = await wire.model(base_model)
    waiting = await wire.forward_backward(model, 5)
    poll = asyncio.create_task(wire.result(waiting))
    await asyncio.sleep(0.05)
    await wire.post(f"sessions/{wire.session_id}/finish", {})
    assert (await poll).status_code == 404
    assert (await wire.post("get_info", {"model_id": model})).status_code == 404
    assert (await wire.post("session_heartbeat", {"session_id": wire.session_id})).status_code == 410
