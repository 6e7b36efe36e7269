"""Sampling of one base model on the engine thread: requests join and leave the engine's running batch."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tinkery_local.engine import Finished, Sampler, SampleResult, Snapshot
from tinkery_local.futures import Reply
from tinkery_local.lanes import Lane
from tinkery_local.replies import attempt, failure, proto_reply
from tinkery_local.wire.sampling import SampleCall


@dataclass(frozen=True)
class SampleJob:
    """A sampling request on its way to the engine; `weights` is asked on the engine thread."""

    request_id: str
    call: SampleCall
    weights: Callable[[], Snapshot]


class SamplingLane(Lane):
    """Takes waiting requests into the batch, then advances it by one chunk of tokens; that is one turn."""

    def __init__(self, sampler: Sampler, deliver: Callable[[str, Reply], None]) -> None:
        super().__init__()
        self._sampler = sampler
        self._deliver = deliver
        self._waiting: deque[SampleJob] = deque()
        self._cancelled: deque[str] = deque()
        self._running: dict[int, SampleJob] = {}

    def submit(self, job: SampleJob) -> None:
        self._waiting.append(job)

    def cancel(self, request_id: str) -> None:
        """Stop working for a request whose result nobody will fetch, unless it is done already."""
        self._cancelled.append(request_id)

    def has_work(self) -> bool:
        return bool(self._waiting or self._running or self._cancelled)

    def run_turn(self) -> None:
        while self._waiting:
            self._admit(self._waiting.popleft())
        while self._cancelled:
            self._withdraw(self._cancelled.popleft())
        if self._running:
            self._advance()

    def keep_promises(self) -> None:
        self._waiting.clear()
        self._cancelled.clear()
        self._running.clear()

    def _admit(self, job: SampleJob) -> None:
        try:
            ticket = self._sampler.submit(job.call.bind(job.weights()))
        except Exception as error:
            self._deliver(job.request_id, failure(error))
        else:
            self._running[ticket] = job

    def _withdraw(self, request_id: str) -> None:
        for ticket, job in list(self._running.items()):
            if job.request_id == request_id:
                self._sampler.cancel(ticket)
                del self._running[ticket]

    def _advance(self) -> None:
        try:
            finished = self._sampler.step()
        except Exception as error:
            self._fail_all(error)
            return
        for done in finished:
            job = self._running.pop(done.ticket)
            self._deliver(job.request_id, attempt(lambda job=job, done=done: _reply(job.call, done)))

    def _fail_all(self, error: Exception) -> None:
        """A fault of the engine costs the requests in the batch, and nothing after them."""
        for ticket, job in self._running.items():
            self._sampler.cancel(ticket)
            self._deliver(job.request_id, failure(error))
        self._running.clear()


def _reply(call: SampleCall, done: Finished) -> Reply:
    if isinstance(done.outcome, SampleResult):
        return proto_reply(call.encode(done.outcome))
    return failure(done.outcome)
