"""A stand-in for a Tinker service: it speaks the SDK's protocol, computes nothing, and takes as long as it is told to.

    python benchmarks/stand_in.py '{"token_s": 0.01}'       # fields of pace.Pace

It prints one line of JSON with its URL, serves until its standard input ends, then prints what it saw, and exits. Half
of each group's completions begin with token 1, the others with token 2, so that every group has something to learn
from; the trainer's log-probabilities are the sampler's.
"""

import asyncio
import json
import struct
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

from pace import Pace, SamplerClock, TrainerClock, completion_lengths, place_of
from stand_in_http import Answer, Connection
from tinkery_local.ordering import OrderedQueue
from tinkery_local.wire import tinkery_wire_pb2 as pb
from tinkery_local.wire.fields import Fields

PROTOBUF = "application/x-protobuf"
MODEL = {"model_id": "m", "model_name": "tinkery/tiny", "model_data": {"model_name": "tinkery/tiny"}}


@dataclass
class StandIn:
    """The service. Its clocks count seconds since it started."""

    pace: Pace
    sampler: SamplerClock
    trainer: TrainerClock
    requests: Counter[str] = field(default_factory=Counter[str])
    snapshots: list[float] = field(default_factory=list[float])
    _replies: dict[str, asyncio.Future[Answer]] = field(default_factory=dict[str, asyncio.Future[Answer]])
    _jobs: OrderedQueue[Callable[[], None]] = field(default_factory=OrderedQueue[Callable[[], None]])
    _started_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    def handle(self, path: str, body: bytes) -> Answer | asyncio.Future[Answer]:
        """Answer one request."""
        name = path.removeprefix("/api/v1/")
        self.requests[name] += 1
        if name == "forward_backward":
            return self._forward_backward(body)
        fields = Fields.parse(body)
        match name:
            case "asample":
                return self._asample(fields)
            case "retrieve_future":
                return self._replies.pop(fields.text("request_id"))
            case "optim_step":
                return self._enqueue(fields.integer("seq_id"), self.pace.optim_s, _json({"metrics": {}}))
            case "save_weights" | "save_weights_for_sampler":
                return self._save(name, fields)
            case "create_model":
                self._promise("create").set_result(_json({"model_id": "m"}))
                return _json({"request_id": "create"})
            case "create_session":
                return _json({"session_id": "s"})
            case "get_info":
                return _json(MODEL)
            case "get_server_capabilities":  # a sign of life, which the trainer asks for now and then
                return _json({"supported_models": []})
            case _:
                return _json({"status": "ok"})  # configuration, heartbeats, farewells

    def _asample(self, fields: Fields) -> Answer:
        request_id = f"{fields.text('sampling_session_id')}/{fields.integer('seq_id')}"
        num_samples = fields.integer("num_samples")
        (chunk,) = fields.child("prompt").children("chunks")
        prompt = [int(str(token)) for token in chunk.items("tokens")[:4]]
        lengths = completion_lengths(self.pace, *place_of(prompt), num_samples)
        done_at = self.sampler.sample(self._now(), lengths)
        self._keep(self._promise(request_id), done_at, Answer(_samples(tuple(lengths)), PROTOBUF))
        sequence_ids = [f"{request_id}/{index}" for index in range(num_samples)]
        return _json({"request_id": request_id, "sample_sequence_ids": sequence_ids})

    def _forward_backward(self, body: bytes) -> Answer:
        request = pb.ForwardBackwardRequest.FromString(body)
        tokens = [chunk.encoded_text.tokens for datum in request.data for chunk in datum.model_input]
        seconds = self.pace.train_token_s * sum(map(len, tokens)) / 4
        return self._enqueue(request.seq_id, seconds, Answer(_logprobs(request), PROTOBUF))

    def _save(self, name: str, fields: Fields) -> Answer:
        """Without a path, the next snapshot to sample from; with one, a checkpoint, which takes no time."""
        seq_id = fields.integer("seq_id")
        if fields.has("path"):
            return self._enqueue(seq_id, 0.0, _json({"path": f"tinker://m/{name}/{fields.text('path')}"}))
        answer = _json({"sampling_session_id": f"v{seq_id}"})
        return self._enqueue(seq_id, self.pace.snapshot_s, answer, self.snapshots.append)

    def _enqueue(
        self, seq_id: int, seconds: float, answer: Answer, on_done: Callable[[float], None] = lambda _: None
    ) -> Answer:
        """Accept a training job; it runs once all that the client numbered before it have arrived."""
        request_id = f"train/{seq_id}"
        promise = self._promise(request_id)

        def run() -> None:
            done_at = self.trainer.run(self._now(), seconds)
            on_done(done_at)
            self._keep(promise, done_at, answer)

        for job in self._jobs.put(seq_id, run):
            job()
        return _json({"request_id": request_id})

    def _promise(self, request_id: str) -> asyncio.Future[Answer]:
        promise = self._replies[request_id] = asyncio.get_running_loop().create_future()
        return promise

    def _keep(self, promise: asyncio.Future[Answer], done_at: float, answer: Answer) -> None:
        if done_at <= self._now():
            promise.set_result(answer)
        else:
            asyncio.get_running_loop().call_at(self._started_at + done_at, promise.set_result, answer)

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._started_at

    def seen(self) -> dict[str, object]:
        """What `main` prints at the end."""
        return {
            "requests": self.requests,
            "sampler": self.sampler.busy,
            "trainer": self.trainer.busy,
            "snapshots": self.snapshots,
        }


def _json(values: Mapping[str, object]) -> Answer:
    return Answer(json.dumps(values).encode())


@cache
def _samples(lengths: tuple[int, ...]) -> bytes:
    message = pb.SampleResponse()
    for index, length in enumerate(lengths):
        tokens = [1 + index % 2] + [3] * (length - 1)
        logprobs = [-0.5] * length
        message.sequences.add(
            stop_reason=pb.STOP,
            tokens=struct.pack(f"<{length}i", *tokens),
            logprobs=struct.pack(f"<{length}f", *logprobs),
        )
    return message.SerializeToString()


def _logprobs(request: pb.ForwardBackwardRequest) -> bytes:
    """The log-probabilities of the request itself."""
    logprobs = [datum.loss_fn_inputs["logprobs"].dense for datum in request.data]
    message = pb.ForwardBackwardOutput(loss_fn_output_type="ArrayRecord", metrics={"loss:sum": 0.0})
    tensor = message.loss_fn_outputs.add(num_datums=len(logprobs)).fields["logprobs"]
    offsets = list(accumulate(map(len, logprobs), initial=0))
    tensor.data = b"".join(logprobs)
    tensor.offsets = struct.pack(f"<{len(offsets)}q", *offsets)
    tensor.dtype = pb.FLOAT32
    return message.SerializeToString()


async def serve(pace: Pace) -> StandIn:
    """Serve on a free port until standard input ends."""
    service = StandIn(pace, SamplerClock(pace), TrainerClock())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service.handle), "127.0.0.1", 0, backlog=2048)
    print(json.dumps({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}), flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    return service


def main() -> None:
    pace = Pace(**json.loads(sys.argv[1]))
    print(json.dumps(asyncio.run(serve(pace)).seen()))


if __name__ == "__main__":
    main()
