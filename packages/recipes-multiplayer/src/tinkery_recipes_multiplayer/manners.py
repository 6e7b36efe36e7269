"""The truth about answers to the bundled questions, to see how far a trained judge, or DPO, leads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import chz
from tinkery_core.completers import MessageCompleter, SamplingCompleter
from tinkery_core.config.checks import at_least
from tinkery_core.evaluators import EvaluationSetup, Evaluator, EvaluatorBuilder
from tinkery_supervised.manners.builder import MannersBuilder
from tinkery_supervised.manners.manner import MANNERS, read_manner
from tinkery_supervised.preferences.dataset import good

if TYPE_CHECKING:
    import tinker
    from tinkery_supervised.preferences.pairs import Preference


@chz.chz
class MannersEvaluator(EvaluatorBuilder):
    """Answers to the held-out bundled questions: the share of each manner, and that of the right ones."""

    num_samples: int = chz.field(default=2, validator=at_least(1), doc="answers to each of the 100 questions")

    def __call__(self, setup: EvaluationSetup) -> Evaluator:
        held_out = MannersBuilder()("fail").test
        assert held_out is not None
        pairs = [good(held_out[row]) for row in range(len(held_out))]
        return _AskedQuestions(setup, pairs * self.num_samples)


class _AskedQuestions:
    def __init__(self, setup: EvaluationSetup, pairs: Sequence[Preference]) -> None:
        self.setup = setup
        self.pairs = pairs

    async def __call__(self, sampling_client: tinker.SamplingClient) -> dict[str, float]:
        """`kind`, `plain`, `rude`, `right`, and `kind_and_right`: shares of all answers."""
        setup = self.setup
        completer = SamplingCompleter(
            sampling_client, seed=setup.seed, max_tokens=setup.max_tokens, temperature=setup.temperature
        )
        ask = MessageCompleter(completer, setup.model.load_chat())
        answers = await asyncio.gather(*[ask(pair.prompt) for pair in self.pairs])
        found = [read_manner(answer["content"]) for answer in answers]
        wanted = [read_manner(pair.answers[0])[1] for pair in self.pairs]
        right = [said == want for (_, said), want in zip(found, wanted, strict=True)]
        counts = {manner: sum(of == manner for of, _ in found) for manner in MANNERS}
        counts["right"] = sum(right)
        counts["kind_and_right"] = sum(
            of == "kind" and is_right for (of, _), is_right in zip(found, right, strict=True)
        )
        return {f"{setup.prefix}/{name}": count / len(answers) for name, count in counts.items()}
