"""Preference groups: the answers to one prompt are compared pair by pair, and a win is the reward."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import chz
from tinkery_core.chat import Message
from tinkery_core.config.checks import at_least
from tinkery_core.model import ModelConfig

from tinkery_rl.envs.judges import TIE, Judge
from tinkery_rl.rollouts import gather
from tinkery_rl.types import Env, EnvGroupBuilder, GroupReward, Observation, StepResult, Trajectory

if TYPE_CHECKING:
    from tinkery_core.completers import Completion


@dataclass(frozen=True)
class Comparison:
    """What came of showing the answers of two members to the judge, in this order: the preference for the first."""

    first: int
    second: int
    preference: float


def pairings(num_members: int, *, both_ways: bool, seed: str) -> list[tuple[int, int]]:
    """Who is compared with whom, in which order: each pair both ways, or once with the first place by a coin."""
    pairs = [(a, b) for a in range(num_members) for b in range(a + 1, num_members)]
    if both_ways:
        return [order for a, b in pairs for order in ((a, b), (b, a))]
    coin = random.Random(seed)
    return [(a, b) if coin.random() < 0.5 else (b, a) for a, b in pairs]


async def compare_all(
    judge: Judge,
    messages: Sequence[Message],
    answers_G: Sequence[str | None],
    pairs: Sequence[tuple[int, int]],
    max_concurrent: int,
) -> list[Comparison]:
    """All comparisons, asked for at once. An answer that is None loses unseen, and ties with another None.

    Raises ValueError if the judge's preference is not a number from 0 to 1.
    """
    places = asyncio.Semaphore(max_concurrent)

    async def compare(a: int, b: int) -> Comparison:
        first, second = answers_G[a], answers_G[b]
        if first is None or second is None:
            return Comparison(a, b, TIE if first is second else float(second is None))
        async with places:
            preference = await judge.compare(messages, first, second)
        if not 0 <= preference <= 1:
            raise ValueError(
                f"a preference is a number from 0 to 1, and {type(judge).__name__} gave {preference}"
            )
        return Comparison(a, b, preference)

    return await gather([compare(a, b) for a, b in pairs])


def pairwise_rewards(num_members: int, comparisons: Sequence[Comparison]) -> list[GroupReward]:
    r"""The reward of a member is $2 \bar p - 1$ with $\bar p$ the mean preference for it over its comparisons.

    So it lies between -1 and 1, is 0 for a member as good as the others, and sums to 0 over a whole group.
    Metrics: `win_rate` is $\bar p$; `tie_share` the share of comparisons without a winner; and, where a pair was
    compared both ways, `judge_disagreement` the mean of $|p_{ab} - (1 - p_{ba})|$: 0 for a judge that never minds
    the order, 1 for one that sees nothing else.
    """
    preferences_G: list[list[float]] = [[] for _ in range(num_members)]
    disagreements_G: list[list[float]] = [[] for _ in range(num_members)]
    of_pair = {(c.first, c.second): c.preference for c in comparisons}
    for (first, second), preference in of_pair.items():
        preferences_G[first].append(preference)
        preferences_G[second].append(1 - preference)
        if (second, first) in of_pair:
            disagreements_G[first].append(abs(preference - (1 - of_pair[second, first])))
    return [_reward(*member) for member in zip(preferences_G, disagreements_G, strict=True)]


def _reward(preferences: Sequence[float], disagreements: Sequence[float]) -> GroupReward:
    if not preferences:  # the only member that came through
        return GroupReward()
    win_rate = fmean(preferences)
    metrics = {"win_rate": win_rate, "tie_share": fmean(p == TIE for p in preferences)}
    if disagreements:
        metrics["judge_disagreement"] = fmean(disagreements)
    return GroupReward(2 * win_rate - 1, metrics)


class AnswerEnv(Env):
    """One prompt, one answer, which earns nothing until it is compared with others."""

    def __init__(self, prompt: Observation) -> None:
        self.prompt = prompt

    async def initial_observation(self) -> Observation:
        return self.prompt

    async def step(self, action: Completion) -> StepResult:
        del action
        return StepResult(0.0)


@chz.chz
class PairwiseGroupBuilder(EnvGroupBuilder):
    """Several answers to one conversation, each compared with each other by a judge."""

    messages: tuple[Message, ...] = chz.field(doc="the conversation up to the answer")
    model: ModelConfig = chz.field(doc="whose chat format the prompt is rendered in")
    judge: Judge = chz.field(doc="which of two answers is better")
    num_envs: int = chz.field(validator=at_least(2), doc="answers to compare")
    both_ways: bool = chz.field(
        default=True,
        doc="show each pair in both orders, so that a bias for a position cancels; false shows each pair once",
    )
    truncated_lose: bool = chz.field(
        default=True, doc="answers that the token limit cut off lose without being judged"
    )
    max_concurrent_calls: int = chz.field(
        default=256, validator=at_least(1), doc="calls to the judge at the same time"
    )
    seed: int = chz.field(default=0, doc="seed of the coins for who is shown first, with both_ways=false")
    tags: tuple[str, ...] = chz.field(default=(), doc="names to average the group's metrics under")

    async def make_envs(self) -> Sequence[Env]:
        chat = self.model.load_chat()
        prompt = Observation(chat.render_prompt(self.messages), chat.stop_tokens)
        return [AnswerEnv(prompt) for _ in range(self.num_envs)]

    async def compute_group_rewards(
        self, trajectories_G: Sequence[Trajectory], envs_G: Sequence[Env]
    ) -> Sequence[GroupReward]:
        del envs_G
        answers_G = [self.competing_answer(trajectory) for trajectory in trajectories_G]
        pairs = pairings(len(answers_G), both_ways=self.both_ways, seed=str(self.seed))
        comparisons = await compare_all(
            self.judge, self.messages, answers_G, pairs, self.max_concurrent_calls
        )
        return [
            GroupReward(reward.reward, {**reward.metrics, "forfeit": float(answer is None)})
            for answer, reward in zip(answers_G, pairwise_rewards(len(answers_G), comparisons), strict=True)
        ]

    def competing_answer(self, trajectory: Trajectory) -> str | None:
        """The answer as text, or None if it loses by forfeit."""
        (turn,) = trajectory.transitions
        action = turn.action
        answer = self.model.load_chat().parse(action.tokens, turn.observation.tokens)
        is_cut_off = action.stop_reason == "length" and self.truncated_lose
        return None if is_cut_off or not self.judge.accepts(self.messages, answer) else answer

    def logging_tags(self) -> Sequence[str]:
        return self.tags
