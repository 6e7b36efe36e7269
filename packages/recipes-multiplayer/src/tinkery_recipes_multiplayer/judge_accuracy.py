"""An evaluation of the model in training as a judge: how often it prefers what was preferred."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

import chz
from tinkery_core.config.checks import at_least
from tinkery_core.errors import UserError
from tinkery_core.evaluators import EvaluationSetup, Evaluator, EvaluatorBuilder
from tinkery_rl.envs.model_judges import TEMPLATE, PreferenceModel
from tinkery_rl.rollouts import gather
from tinkery_supervised.preferences.dataset import PreferencesBuilder, good

if TYPE_CHECKING:
    import tinker
    from tinkery_core.chat import Chat
    from tinkery_supervised.preferences.pairs import Preference


@chz.chz
class JudgeAccuracy(EvaluatorBuilder):
    """Held-out pairs, each shown in both orders, judged by the probabilities of A and B as next tokens."""

    preferences: PreferencesBuilder = chz.field(doc="where the pairs come from; the held-out ones are judged")
    template: str = chz.field(
        default=TEMPLATE, doc="the question, with {conversation}, {first} and {second} where these go"
    )
    num_pairs: int = chz.field(default=100, validator=at_least(1), doc="pairs, at most")

    def __call__(self, setup: EvaluationSetup) -> Evaluator:
        held_out = self.preferences("fail").test
        if held_out is None:
            raise UserError(f"{setup.key}.preferences holds no pairs out: set num_test, e.g. num_test=100")
        pairs = [good(held_out[row]) for row in range(min(self.num_pairs, len(held_out)))]
        return _JudgeEvaluator(pairs, setup.model.load_chat(), self.template, setup.prefix)


class _JudgeEvaluator:
    def __init__(self, pairs: list[Preference], chat: Chat, template: str, prefix: str) -> None:
        self.pairs = pairs
        self.chat = chat
        self.template = template
        self.prefix = prefix

    async def __call__(self, sampling_client: tinker.SamplingClient) -> dict[str, float]:
        """`accuracy`: the share of comparisons with a preference above 1/2 for the chosen answer; `preference`: the
        mean preference for it; `disagreement`: how much the order of the answers matters, 0 to 1.
        """
        judge = PreferenceModel(sampling_client, self.chat, self.template)
        orders = [order for pair in self.pairs for order in (pair.answers, pair.answers[::-1])]
        prompts = [pair.prompt for pair in self.pairs for _ in range(2)]
        preferences = await gather(
            [judge.compare(prompt, *order) for prompt, order in zip(prompts, orders, strict=True)]
        )
        chosen_first, chosen_second = preferences[::2], [1 - p for p in preferences[1::2]]
        both = [*chosen_first, *chosen_second]
        pairs = zip(chosen_first, chosen_second, strict=True)
        return {
            f"{self.prefix}/accuracy": fmean(float(p > 0.5) for p in both),
            f"{self.prefix}/preference": fmean(both),
            f"{self.prefix}/disagreement": fmean(abs(a - b) for a, b in pairs),
        }
