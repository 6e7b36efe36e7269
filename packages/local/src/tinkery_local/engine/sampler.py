"""Continuous batching: many requests for samples share the decoder, and none notices the others."""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from tinkery_local.engine.adapter import Snapshot
from tinkery_local.engine.decode import num_slots
from tinkery_local.engine.errors import EngineError
from tinkery_local.engine.model import Params
from tinkery_local.engine.pool import Pool
from tinkery_local.engine.sampling import Finished, SampleRequest, SampleResult, TopkLogprobs, check_request
from tinkery_local.engine.scoring import Scores, score, scores_at_once
from tinkery_local.engine.sequence import GrowingSequence, Plan
from tinkery_local.engine.shapes import context_length, training_length
from tinkery_local.engine.spec import ModelSpec


@dataclass(frozen=True)
class _Kind:
    """What decides which program serves a request, and so which requests may share a batch."""

    snapshot: Snapshot
    length: int
    truncate: bool
    top: int


@dataclass
class _Job:
    """A request under way: `left` counts the samples and the scoring that are still to come."""

    request: SampleRequest
    sequences: list[GrowingSequence]
    left: int
    scores: Scores | None = None


class Sampler:
    """Draws samples for any number of requests: `submit` them at any time, then `step` while `busy`.

    A sample's tokens and logprobs depend only on the snapshot, the prompt, the sampling parameters, the seed and the
    sample's index, bit for bit; never on what else is being sampled, or when it came.
    """

    def __init__(
        self,
        spec: ModelSpec,
        params_of: Callable[[Snapshot], Params],
        decode: Callable[[list[int]], str],
    ) -> None:
        self._spec = spec
        self._params_of = params_of
        self._decode = decode
        self._tickets = 0
        self._jobs: dict[int, _Job] = {}
        self._pools: OrderedDict[_Kind, Pool] = OrderedDict()
        self._to_score: deque[tuple[_Kind, int]] = deque()

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    def submit(self, request: SampleRequest) -> int:
        """Queue a request; returns its ticket. Raises `EngineError` for one that cannot be served."""
        plan = self._plan(request)
        context = context_length(len(plan.prompt) + plan.limit)
        truncate = plan.top_k < self._spec.vocab_size or plan.top_p < 1
        kind = _Kind(request.snapshot, context, truncate, self._top(plan.top))
        if kind not in self._pools:
            params = self._params_of(request.snapshot)
            self._pools[kind] = Pool(self._spec, params, kind.length, kind.truncate, kind.top)
        sequences = [GrowingSequence(plan, index) for index in range(request.num_samples)]
        self._pools[kind].add(sequences)
        scored = request.prompt_logprobs or request.topk_prompt_logprobs > 0
        if scored:
            length, top = training_length(len(plan.prompt)), self._top(request.topk_prompt_logprobs)
            self._to_score.append((_Kind(request.snapshot, length, False, top), plan.ticket))
        self._jobs[plan.ticket] = _Job(request, sequences, len(sequences) + scored)
        return plan.ticket

    def cancel(self, ticket: int) -> None:
        """Forget a request, if it is not done yet; it will not be reported."""
        if self._jobs.pop(ticket, None) is None:
            return
        self._to_score = deque(entry for entry in self._to_score if entry[1] != ticket)
        for kind, pool in list(self._pools.items()):
            pool.drop(ticket)
            if not pool.busy:
                del self._pools[kind]

    def step(self) -> list[Finished]:
        """Score a batch of prompts or decode a chunk of one batch, in turn; returns the requests that are done."""
        if self._to_score:
            touched = self._score()
        elif self._pools:
            touched = self._decode_chunk()
        else:
            touched = []
        finished: list[Finished] = []
        for ticket in touched:
            self._jobs[ticket].left -= 1
            if self._jobs[ticket].left == 0:
                finished.append(Finished(ticket, _outcome(self._jobs.pop(ticket))))
        return finished

    def _decode_chunk(self) -> list[int]:
        kind, pool = self._pools.popitem(last=False)
        done = pool.step()
        if pool.busy:
            self._pools[kind] = pool
        return [sequence.plan.ticket for sequence in done]

    def _score(self) -> list[int]:
        kind = self._to_score[0][0]
        tickets = [ticket for other, ticket in self._to_score if other == kind][: scores_at_once(kind.length)]
        self._to_score = deque(entry for entry in self._to_score if entry[1] not in tickets)
        prompts = [self._jobs[ticket].sequences[0].plan.prompt for ticket in tickets]
        scores = score(self._spec, self._params_of(kind.snapshot), kind.length, prompts, kind.top)
        for ticket, each in zip(tickets, scores, strict=True):
            self._jobs[ticket].scores = each
        return tickets

    def _plan(self, request: SampleRequest) -> Plan:
        limit = check_request(self._spec, request)
        if num_slots(self._spec, context_length(len(request.prompt) + limit)) == 0:
            raise EngineError(
                f"a context of {len(request.prompt) + limit} tokens of this model exceeds the sampler's memory; "
                "give a smaller max_tokens."
            )
        if request.stop_strings:
            self._decode([])  # loads the tokenizer, so that its absence is an error of this request
        self._tickets += 1
        greedy = request.temperature == 0
        seed = secrets.randbits(64) if request.seed is None else request.seed
        return Plan(
            ticket=self._tickets,
            prompt=tuple(request.prompt.tolist()),
            seed=seed % (1 << 64),
            limit=limit,
            temperature=request.temperature,
            top_k=self._spec.vocab_size if greedy or request.top_k < 1 else request.top_k,
            top_p=1.0 if greedy else request.top_p,
            top=request.topk_sample_logprobs,
            stops=self._spec.eos_token_ids if request.stop_tokens is None else request.stop_tokens,
            stop_strings=request.stop_strings,
            decode=self._decode,
        )

    def _top(self, k: int) -> int:
        """The next power of two, so that not each k is a program of its own; 0 stays 0."""
        return min(1 << (k - 1).bit_length(), self._spec.vocab_size) if k else 0


def _outcome(job: _Job) -> SampleResult | EngineError:
    if not all(sequence.finite for sequence in job.sequences):
        return EngineError(
            "the model's output is not finite; its weights are broken, perhaps by a learning rate too high."
        )
    request, scores = job.request, job.scores
    k = request.topk_prompt_logprobs
    return SampleResult(
        [sequence.result() for sequence in job.sequences],
        scores.logprobs if scores and request.prompt_logprobs else None,
        TopkLogprobs(scores.topk.token_ids[:, :k], scores.topk.logprobs[:, :k]) if scores and k else None,
    )
