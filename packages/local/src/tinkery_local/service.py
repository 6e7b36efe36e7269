"""The server's state and what can be done to it; the HTTP handlers in `api/` only translate.

All of it runs on the event loop. Work for the engine leaves through lanes and comes back as resolved futures.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from tinkery_local.catalog import ModelSource, did_you_mean
from tinkery_local.engine import Engine
from tinkery_local.engine_thread import EngineThread, Job, Work
from tinkery_local.errors import RequestError
from tinkery_local.futures import FutureTable, Reply
from tinkery_local.replies import attempt, failure
from tinkery_local.sampling_lane import SampleJob, SamplingLane
from tinkery_local.sessions import Base, Pending, Sampler, Session, TrainingModel
from tinkery_local.store import Store
from tinkery_local.weights import WeightShelf
from tinkery_local.wire.sampling import SampleCall

GAP_SECONDS = 360.0
"""How long requests wait for one that was numbered before them; a client retries for five minutes at most."""
VANISHED_SECONDS = 1800.0
"""A session that is not heard of for so long has ended: clients send a heartbeat every ten seconds."""
MAX_WAITING_SAMPLES = 65_536

Item = TypeVar("Item")


class Service:
    """Sessions, models, samplers and promises of one server process."""

    def __init__(
        self, models: Sequence[tuple[ModelSource, Engine]], store: Store, thread: EngineThread
    ) -> None:
        self.bases: dict[str, Base] = {}
        self.store = store
        self.thread = thread
        self.futures = FutureTable()
        self.sessions: dict[str, Session] = {}
        self.models: dict[str, TrainingModel] = {}
        self.samplers: dict[str, Sampler] = {}
        self._loop = asyncio.get_running_loop()
        self._sampling: dict[str, tuple[SamplingLane, int]] = {}
        self._waiting_samples = 0
        self._stopping = False
        for source, engine in models:
            self._add_base(source, engine)
        self._loop.call_later(VANISHED_SECONDS / 10, self._end_vanished)

    def base(self, name: str) -> Base:
        """A base model by name; RequestError 404 that lists what is served."""
        if name not in self.bases:
            known = ", ".join(self.bases)
            hint = did_you_mean(name, self.bases)
            raise RequestError(
                404,
                f"base model {name!r} is not served here, only {known}.{hint} (tinkery-local serve --model)",
            )
        return self.bases[name]

    def session(self, session_id: str) -> Session:
        session = _known(self.sessions, "session", session_id)
        session.touch()
        return session

    def model(self, model_id: str) -> TrainingModel:
        model = _known(self.models, "model", model_id)
        model.session.touch()
        return model

    def sampler(self, sampler_id: str) -> Sampler:
        sampler = _known(self.samplers, "sampler", sampler_id)
        sampler.session.touch()
        return sampler

    def open_session(self, user_metadata: dict[str, str], display_name: str | None) -> Session:
        session = Session(uuid.uuid4().hex, user_metadata, display_name)
        self.sessions[session.session_id] = session
        return session

    def end_session(self, session_id: str) -> None:
        """Free all that a session holds, once what its models were asked so far has been done."""
        session = self.sessions.pop(session_id, None)
        if session is None:
            return
        for request_id in [asked for asked in self._sampling if asked.startswith(f"{session_id}:")]:
            self.cancel_sample(request_id)
        for model_id in session.model_ids:
            model = self.models.pop(model_id)
            model.lane.submit(Job(partial(self.thread.post, partial(self.thread.remove, model.lane))))
        for sampler_id in session.sampler_ids:
            self._drop_sampler(self.samplers.pop(sampler_id))
        self.thread.run(partial(self.thread.post, partial(self.futures.forget, session_id)))

    def add_model(self, model: TrainingModel, create: Callable[[], Reply]) -> str:
        """Start a model with the job that makes its adapter; returns the request id of that."""
        request_id = f"{model.model_id}:0"
        if model.model_id not in self.models:
            self._refuse_when_stopping()
            self.models[model.model_id] = model
            model.session.model_ids.append(model.model_id)
            self.thread.add(model.lane)
            self.futures.open(request_id)
            model.lane.submit(Job(self._promise(request_id, create)))
            self.thread.notify()
        return request_id

    def enqueue(
        self, model: TrainingModel, seq_id: int, produce: Callable[[], Reply], durable: bool = False
    ) -> str:
        """Run `produce` on the engine thread after all requests of lower numbers; returns the request id.

        A number that was seen before runs nothing: it is the same request, sent again.
        """
        if seq_id < 1:
            raise RequestError(422, f"seq_id: expected 1 or more, got {seq_id}")
        request_id = f"{model.model_id}:{seq_id}"
        if model.queue.seen(seq_id):
            return request_id
        self._refuse_when_stopping()
        model.last_request = datetime.now(UTC)
        self.futures.open(request_id)
        pending = Pending(request_id, Job(self._promise(request_id, produce), durable))
        for released in model.queue.put(seq_id, pending):
            model.lane.submit(released.job)
        self.thread.notify()
        if model.queue.missing is not None:
            self._loop.call_later(GAP_SECONDS, self._give_up, model, model.queue.missing)
        return request_id

    def add_sampler(self, sampler: Sampler) -> None:
        """Make a sampler known; one of that id that is known already (a repeated request) stays."""
        if sampler.sampler_id not in self.samplers:
            self.samplers[sampler.sampler_id] = sampler
            sampler.session.sampler_ids.append(sampler.sampler_id)

    def sample(self, sampler: Sampler, seq_id: int, call: SampleCall) -> str:
        """Queue a sampling request, once for each number; returns its request id.

        Raises RequestError 429 when too many samples wait already: the client pauses and comes again.
        """
        request_id = f"{sampler.sampler_id}:{seq_id}"
        if self._waiting_samples >= MAX_WAITING_SAMPLES:
            raise RequestError(429, f"{MAX_WAITING_SAMPLES} samples are waiting already")
        self._refuse_when_stopping()
        if self.futures.open(request_id):
            lane = sampler.base.sampling
            self._sampling[request_id] = (lane, call.num_samples)
            self._waiting_samples += call.num_samples
            lane.submit(SampleJob(request_id, call, sampler.snapshot))
            self.thread.notify()
        return request_id

    def cancel_sample(self, request_id: str) -> None:
        """Stop sampling for a request whose result nobody will fetch."""
        if request_id in self._sampling:
            lane, _ = self._sampling[request_id]
            lane.cancel(request_id)
            self.thread.notify()
            self.deliver(request_id, failure(RequestError(400, "cancelled by the client")))

    def deliver(self, request_id: str, reply: Reply) -> None:
        """Keep a promise; called on the event loop."""
        self._no_longer_waiting(request_id)
        self.futures.resolve(request_id, reply)

    async def stop(self) -> None:
        """Take no more work, finish what must not be lost, and let every waiting poll return."""
        self._stopping = True
        await self.thread.stop()
        self.futures.close()
        self.store.remove_scratch()

    def _add_base(self, source: ModelSource, engine: Engine) -> None:
        lane = SamplingLane(engine.sampler, self._post_reply)
        shelf = WeightShelf(engine, self.store.scratch_folder() / str(len(self.bases)))
        self.bases[source.name] = Base(source.name, source.folder, engine, lane, shelf)
        self.thread.add(lane)

    def _promise(self, request_id: str, produce: Callable[[], Reply]) -> Work:
        def work() -> None:
            self._post_reply(request_id, attempt(produce))

        return work

    def _post_reply(self, request_id: str, reply: Reply) -> None:
        self.thread.post(partial(self.deliver, request_id, reply))

    def _refuse_when_stopping(self) -> None:
        if self._stopping:
            raise RequestError(503, "the server is stopping")

    def _give_up(self, model: TrainingModel, missing: int) -> None:
        if model.queue.missing != missing:
            return
        lost = RequestError(
            400,
            f"request {missing} of {model.model_id} never arrived, so those numbered after it can't run",
        )
        for pending in model.queue.give_up():
            self.deliver(pending.request_id, failure(lost))

    def _no_longer_waiting(self, request_id: str) -> None:
        _, num_samples = self._sampling.pop(request_id, (None, 0))
        self._waiting_samples -= num_samples

    def _drop_sampler(self, sampler: Sampler) -> None:
        if sampler.weights_key is not None:
            self.thread.run(partial(sampler.base.shelf.drop, sampler.weights_key))

    def _end_vanished(self) -> None:
        now = time.monotonic()
        for session in list(self.sessions.values()):
            if now - session.last_seen > VANISHED_SECONDS:
                self.end_session(session.session_id)
        self._loop.call_later(VANISHED_SECONDS / 10, self._end_vanished)


def _known(table: Mapping[str, Item], kind: str, key: str) -> Item:
    if key not in table:
        raise RequestError(
            404, f"{kind} {key!r} is unknown: its session has ended, or the server was restarted"
        )
    return table[key]
