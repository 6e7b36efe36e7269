"""Models as judges: one that says A or B, and one whose probabilities of A and B are the verdict."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import chz
from tinkery_core.chat import Chat, Message
from tinkery_core.completers import MessageCompleter, SamplingCompleter
from tinkery_core.config.checks import at_least
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig
from tinkery_core.run_service import RunService
from tinkery_core.sampler_weights import AsksWeights, find_sampler_path

from tinkery_rl.envs.judges import TIE, Judge, JudgeBuilder
from tinkery_rl.rollouts import gather
from tinkery_rl.types import RLSetup

if TYPE_CHECKING:
    import tinker

TEMPLATE = """\
Here are a conversation and two answers to its last message.

{conversation}

Answer A: {first}

Answer B: {second}

Which answer is better? Say A or B, and nothing else."""

_VERDICT = re.compile(r"\W*(?:answer\s+)?([AB])\b", re.IGNORECASE)


def comparison(template: str, messages: Sequence[Message], first: str, second: str) -> list[Message]:
    """The question that a judging model is asked."""
    conversation = "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)
    question = template.format(conversation=conversation, first=first, second=second)
    return [{"role": "user", "content": question}]


def read_verdict(text: str) -> float:
    """1 for a text that begins with `A` or `Answer A`, 0 for one that begins with B, and a tie for any other."""
    found = _VERDICT.match(text)
    return TIE if found is None else float(found[1].upper() == "A")


class ModelJudge(Judge):
    """Asks a model in words. What is neither A nor B is a tie."""

    def __init__(self, completer: MessageCompleter, template: str = TEMPLATE) -> None:
        self.completer = completer
        self.template = template

    async def compare(self, messages: Sequence[Message], first: str, second: str) -> float:
        verdict = await self.completer(comparison(self.template, messages, first, second))
        return read_verdict(verdict["content"])


class PreferenceModel(Judge):
    r"""Asks a model, usually one trained on preferences, how probable its next token is A, and how B.

    The preference is $p_A / (p_A + p_B)$, as if the model were sampled until it says either.
    """

    def __init__(self, sampling_client: tinker.SamplingClient, chat: Chat, template: str = TEMPLATE) -> None:
        self.sampling_client = sampling_client
        self.chat = chat
        self.template = template
        self._letters = [_only_token(chat, letter) for letter in "AB"]

    async def compare(self, messages: Sequence[Message], first: str, second: str) -> float:
        prompt = self.chat.render_prompt(comparison(self.template, messages, first, second))
        logprob_a, logprob_b = await gather([self._logprob([*prompt, letter]) for letter in self._letters])
        return 1 / (1 + math.exp(min(logprob_b - logprob_a, 700.0)))  # exp overflows a little above

    async def _logprob(self, tokens: list[int]) -> float:
        import tinker

        logprob = (await self.sampling_client.compute_logprobs(tinker.ModelInput.from_ints(tokens)))[-1]
        assert logprob is not None  # only the first token of a prompt has none
        return logprob


def _only_token(chat: Chat, letter: str) -> int:
    tokens = chat.encode(letter)
    if len(tokens) != 1:
        raise UserError(
            f"{letter!r} is {len(tokens)} tokens in the judge's tokenizer, so its next token is no verdict.\n"
            "Choose another judging model, or the judge that asks in words: ModelJudgeBuilder"
        )
    return tokens[0]


@chz.chz
class _AskedModel(JudgeBuilder, AsksWeights):
    """What both kinds have in common."""

    model: ModelConfig = chz.field(doc="the judging model, at the service of the run")
    path: str | None = chz.field(
        default=None,
        doc="sampler weights of the judge: the folder of the run that trained it, or their path, tinker://…; null is "
        "the base model",
    )
    template: str = chz.field(
        default=TEMPLATE, doc="the question, with {conversation}, {first} and {second} where these go"
    )

    @chz.validate
    def _both_answers_are_shown(self) -> None:
        missing = [name for name in ("{first}", "{second}") if name not in self.template]
        if missing:
            raise ValueError(f"template lacks {' and '.join(missing)}: the judge has to see both answers")

    @property
    def named_weights(self) -> dict[str, str]:
        return {} if self.path is None else {"path": self.path}

    def __call__(self, setup: RLSetup) -> Judge:
        return _JudgeOfRun(self, setup.service, setup.seed)

    @abstractmethod
    def of_client(self, client: tinker.SamplingClient, seed: int) -> Judge:
        """The judge that asks this client."""


@chz.chz
class ModelJudgeBuilder(_AskedModel):
    """A model of the run's service that is asked for its verdict in words."""

    max_tokens: int = chz.field(default=4, validator=at_least(1), doc="longest verdict")
    temperature: float = chz.field(
        default=0.0, validator=at_least(0), doc="0 makes equal comparisons end equally"
    )

    def of_client(self, client: tinker.SamplingClient, seed: int) -> Judge:
        completer = SamplingCompleter(
            client, seed=seed, max_tokens=self.max_tokens, temperature=self.temperature
        )
        return ModelJudge(MessageCompleter(completer, self.model.load_chat()), self.template)


@chz.chz
class PreferenceModelBuilder(_AskedModel):
    """A model of the run's service whose next token's probabilities of A and B are the verdict."""

    def of_client(self, client: tinker.SamplingClient, seed: int) -> Judge:
        del seed
        return PreferenceModel(client, self.model.load_chat(), self.template)


class _JudgeOfRun(Judge):
    """Becomes the judge of its config at the first comparison, when the run is connected."""

    def __init__(self, config: _AskedModel, service: RunService, seed: int) -> None:
        self._config, self._service, self._seed = config, service, seed
        self._judge: Judge | None = None

    async def compare(self, messages: Sequence[Message], first: str, second: str) -> float:
        if self._judge is None:
            path = None if self._config.path is None else find_sampler_path("path", self._config.path)
            client = await self._service.sampling_client(self._config.model.name, path)
            self._judge = self._config.of_client(client, self._seed)
        return await self._judge.compare(messages, first, second)

    def __reduce__(self) -> tuple[type[Judge], tuple[_AskedModel, RunService, int]]:
        return _JudgeOfRun, (self._config, self._service, self._seed)
