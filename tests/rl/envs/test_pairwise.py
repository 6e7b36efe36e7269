"""Preference groups: who meets whom, what a win is worth, judges at work, and a training by preferences."""

import asyncio
import math
import pickle
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import chz
import pytest
import tinker
from hypothesis import given
from hypothesis import strategies as st
from tinkery_core.chat import Message
from tinkery_core.completers import Completion, MessageCompleter, Stop, TokenCompleter
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig
from tinkery_core.run_service import RunService
from tinkery_rl.config import RLConfig
from tinkery_rl.envs.judges import FunctionJudge, Judge, JudgeBuilder, ShorterIsBetter, prefer_shorter
from tinkery_rl.envs.model_judges import (
    ModelJudge,
    ModelJudgeBuilder,
    PreferenceModel,
    PreferenceModelBuilder,
    comparison,
    read_verdict,
)
from tinkery_rl.envs.pairwise import Comparison, PairwiseGroupBuilder, pairings, pairwise_rewards
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.rollouts import RolloutError, play_group
from tinkery_rl.types import (
    EnvGroupBuilder,
    RLDataset,
    RLDatasetBuilder,
    RLDatasets,
    RLSetup,
    TrajectoryGroup,
)

Configure = Callable[..., RLConfig]
Train = Callable[[RLConfig], Awaitable[list[dict[str, float]]]]

TINY = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3")
QUESTION: Message = {"role": "user", "content": "What is 1 + 2?"}


def group_of(judge: Judge, num_envs: int, **changes: object) -> PairwiseGroupBuilder:
    fields = {"messages": (QUESTION,), "model": TINY, "judge": judge, "num_envs": num_envs}
    return chz.Blueprint(PairwiseGroupBuilder).apply(fields | changes).make()


def saying(*answers: str) -> TokenCompleter:
    """A policy whose n-th answer is the n-th of these; one that ends with … is cut off there."""
    chat = TINY.load_chat()
    rest = list(answers)

    async def policy(prompt: list[int], stop: Stop | None = None) -> Completion:
        answer = rest.pop(0)
        is_cut_off = answer.endswith("…")
        tokens = chat.encode(answer.rstrip("…")) + ([] if is_cut_off else chat.stop_tokens[:1])
        return Completion(tokens, [-1.0] * len(tokens), "length" if is_cut_off else "stop")

    return policy


async def played(builder: EnvGroupBuilder, *answers: str) -> TrajectoryGroup:
    with anyio.fail_after(60):
        group = (await play_group(builder, saying(*answers), "here", RolloutConfig())).group
    assert group is not None
    return group


@given(st.integers(0, 9), st.integers(0, 3))
def test_each_pair_meets_once_or_both_ways(num_members: int, seed: int) -> None:
    once = pairings(num_members, both_ways=False, seed=str(seed))
    both = pairings(num_members, both_ways=True, seed=str(seed))
    all_pairs = {frozenset((a, b)) for a in range(num_members) for b in range(a)}
    assert len(once) == len(all_pairs) and {frozenset(pair) for pair in once} == all_pairs
    assert len(both) == 2 * len(all_pairs) and set(both) == {(a, b) for p in once for a, b in (p, p[::-1])}
    assert once == pairings(num_members, both_ways=False, seed=str(seed))


def test_who_is_shown_first_is_a_coin_of_the_seed() -> None:
    orders = {tuple(pairings(6, both_ways=False, seed=str(seed))) for seed in range(5)}
    assert len(orders) == 5
    shown_first = [a < b for a, b in pairings(40, both_ways=False, seed="0")]
    assert 0.4 < sum(shown_first) / len(shown_first) < 0.6


@given(st.integers(2, 6).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.floats(0, 1), min_size=n * n))))
def test_rewards_lie_between_minus_one_and_one_and_cancel(drawn: tuple[int, list[float]]) -> None:
    num_members, preferences = drawn
    pairs = pairings(num_members, both_ways=True, seed="")
    rewards = pairwise_rewards(
        num_members, [Comparison(a, b, p) for (a, b), p in zip(pairs, preferences, strict=False)]
    )
    assert all(-1 <= reward.reward <= 1 for reward in rewards)
    assert sum(reward.reward for reward in rewards) == pytest.approx(0)
    assert all(reward.reward == pytest.approx(2 * reward.metrics["win_rate"] - 1) for reward in rewards)


async def test_the_better_answer_wins_more() -> None:
    group = await played(group_of(FunctionJudge(prefer_shorter), 3), "1 2 3", "1", "1 2")
    assert group.rewards_G == [-1, 1, 0]
    assert group.group_rewards_G[1].metrics == {
        "win_rate": 1,
        "tie_share": 0,
        "judge_disagreement": 0,
        "forfeit": 0,
    }
    ties = await played(group_of(FunctionJudge(prefer_shorter), 2, both_ways=False), "1", "2")
    assert ties.rewards_G == [0, 0]
    assert ties.group_rewards_G[0].metrics == {"win_rate": 0.5, "tie_share": 1, "forfeit": 0}


async def test_a_bias_for_a_place_cancels_both_ways_and_shows_as_disagreement() -> None:
    def first_is_best(messages: Sequence[Message], first: str, second: str) -> float:
        return 1.0

    biased = FunctionJudge(first_is_best)
    both = await played(group_of(biased, 4), "1", "2", "3", "4")
    assert both.rewards_G == [0] * 4
    assert [reward.metrics["judge_disagreement"] for reward in both.group_rewards_G] == [1] * 4
    once = await played(group_of(biased, 4, both_ways=False), "1", "2", "3", "4")
    assert once.rewards_G != [0] * 4


@dataclass
class Assembly(Judge):
    """Answers nobody until so many have asked."""

    quorum: int
    most_at_once: int = 0
    num_asking: int = 0
    complete: anyio.Event = field(default_factory=anyio.Event)

    async def compare(self, messages: Sequence[Message], first: str, second: str) -> float:
        self.num_asking += 1
        self.most_at_once = max(self.most_at_once, self.num_asking)
        if self.num_asking == self.quorum:
            self.complete.set()
        await self.complete.wait()
        self.num_asking -= 1
        return 0.5


async def test_all_comparisons_of_a_group_are_asked_for_at_once() -> None:
    judge = Assembly(quorum=5 * 4)
    await played(group_of(judge, 5), *"12345")
    assert judge.most_at_once == 20


async def test_a_bound_holds_the_rest_of_the_comparisons_back() -> None:
    judge = Assembly(quorum=3)
    await played(group_of(judge, 5, max_concurrent_calls=3), *"12345")
    assert judge.most_at_once == 3


async def test_cut_off_and_empty_answers_lose_without_the_judge() -> None:
    asked: list[str] = []

    def note(messages: Sequence[Message], first: str, second: str) -> float:
        asked.extend([first, second])
        return 0.5

    group = await played(group_of(FunctionJudge(note), 4), "good", "also good", "cut off…", "")
    assert set(asked) == {"good", "also good"}
    assert group.rewards_G == pytest.approx([2 / 3, 2 / 3, -2 / 3, -2 / 3])
    assert [reward.metrics["forfeit"] for reward in group.group_rewards_G] == [0, 0, 1, 1]
    asked.clear()
    await played(group_of(FunctionJudge(note), 2, truncated_lose=False), "good", "cut off…")
    assert "cut off" in asked


async def test_a_failing_judge_is_named_and_ends_the_other_comparisons() -> None:
    cancelled: list[str] = []

    class Moody(Judge):
        async def compare(self, messages: Sequence[Message], first: str, second: str) -> float:
            if (first, second) == ("2", "1"):
                raise OSError("out of office")
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(first)
            return 0.5

    with pytest.raises(
        RolloutError, match=r"PairwiseGroupBuilder.compute_group_rewards raised OSError: out of office$"
    ):
        await played(group_of(Moody(), 3), "1", "2", "3")
    assert len(cancelled) == 5


@pytest.mark.parametrize("preference", [1.5, -0.1, math.nan])
async def test_a_preference_beyond_all_bounds_is_an_error(preference: float) -> None:
    judge = FunctionJudge(lambda messages, first, second: preference)
    with pytest.raises(
        RolloutError, match=f"a preference is a number from 0 to 1, and FunctionJudge gave {preference}"
    ):
        await played(group_of(judge, 2), "1", "2")


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("A", 1),
        ("B.", 0),
        (" **A**", 1),
        ("Answer B", 0),
        ("b", 0),
        ("Apples", 0.5),
        ("I am not sure.", 0.5),
        ("", 0.5),
    ],
)
def test_a_verdict_in_words(said: str, verdict: float) -> None:
    assert read_verdict(said) == verdict


async def test_a_model_judge_sees_the_conversation_and_both_answers() -> None:
    seen: list[str] = []

    async def model(prompt: list[int], stop: Stop | None = None) -> Completion:
        seen.append(TINY.load_chat().decode(prompt))
        return await saying("Answer B.")(prompt, stop)

    judge = ModelJudge(MessageCompleter(model, TINY.load_chat()))
    assert await judge.compare([QUESTION], "It is {3}.", "I do not know.") == 0
    assert "user: What is 1 + 2?" in seen[0]
    assert "Answer A: It is {3}." in seen[0] and "Answer B: I do not know." in seen[0]


def test_a_template_without_the_answers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^template lacks {second}: the judge has to see both answers$"):
        ModelJudgeBuilder(model=TINY, template="Is {first} good?")


def setup() -> RLSetup:
    return RLSetup(TINY, groups_per_batch=2, group_size=4, seed=0)


@pytest.mark.parametrize(
    "builder", [ShorterIsBetter(), ModelJudgeBuilder(model=TINY), PreferenceModelBuilder(model=TINY)]
)
def test_groups_pickle_with_their_judges(builder: JudgeBuilder) -> None:
    group = group_of(builder(setup()), 3)
    copy = pickle.loads(pickle.dumps(group))
    assert (copy.messages, copy.num_envs, type(copy.judge)) == (group.messages, 3, type(group.judge))


async def test_a_model_cannot_judge_where_no_service_is_connected() -> None:
    judge = ModelJudgeBuilder(model=TINY, path="tinker://judge/sampler_weights/final")(setup())
    with pytest.raises(UserError) as raised:
        await judge.compare([QUESTION], "1", "2")
    assert str(raised.value) == (
        "tinker://judge/sampler_weights/final cannot be asked: no service is connected here.\n"
        "A model takes part in environments while a run trains, not in a dry run or a check."
    )


async def test_a_preference_model_weighs_the_two_letters_against_each_other(
    configure: Configure, tmp_path: Path
) -> None:
    async with configure().backend(tmp_path, []).connect() as client:
        service = RunService()
        service.connect(client)
        sampler = await service.sampling_client(TINY.name)
        assert await service.sampling_client(TINY.name) is sampler
        chat = TINY.load_chat()
        judge = PreferenceModel(sampler, chat, "{first} {second}")
        prompt = chat.render_prompt(comparison("{first} {second}", [], "1", "2"))
        a, b = [
            (await sampler.compute_logprobs(tinker.ModelInput.from_ints([*prompt, *chat.encode(letter)])))[-1]
            for letter in "AB"
        ]
        assert a is not None and b is not None
        assert await judge.compare([], "1", "2") == pytest.approx(
            math.exp(a) / (math.exp(a) + math.exp(b)), rel=1e-4
        )


class Preferences(RLDataset):
    def __init__(self, setup: RLSetup, judge: Judge) -> None:
        self.setup = setup
        self.judge = judge

    def __len__(self) -> int:
        return 2

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        return [
            group_of(
                self.judge,
                self.setup.group_size,
                messages=({"role": "user", "content": f"What is {n} + 2?"},),
            )
            for n in range(self.setup.groups_per_batch)
        ]


@chz.chz
class PreferencesBuilder(RLDatasetBuilder):
    judge: JudgeBuilder

    def __call__(self, setup: RLSetup) -> RLDatasets:
        return RLDatasets(Preferences(setup, self.judge(setup)), None)


@pytest.mark.parametrize("judge", [ShorterIsBetter(), ModelJudgeBuilder(model=TINY)])
async def test_a_training_by_preferences(configure: Configure, trained: Train, judge: JudgeBuilder) -> None:
    lines = await trained(configure(env=PreferencesBuilder(judge=judge), group_size=4))
    assert [line["step"] for line in lines] == [0, 1, 2]
    for line in lines[:-1]:
        assert line["env/all/win_rate"] == pytest.approx(0.5)
        assert line["env/all/reward/total"] == pytest.approx(0, abs=1e-9)
        assert {"env/all/tie_share", "env/all/judge_disagreement", "env/all/forfeit"} <= line.keys()
        if isinstance(judge, ShorterIsBetter):
            assert line["env/all/judge_disagreement"] == 0
            assert line["optim/num_datums"] > 0
