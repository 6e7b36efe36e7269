"""Preferences from end to end: what the judge is asked, the shipped YAML, and a judge that another run trained."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import anyio
import chz
import pytest
from tinkery_core.completers import Completion, Stop
from tinkery_core.config.compose import compose
from tinkery_core.config.loader import make_loader
from tinkery_core.config.resolve import resolve
from tinkery_core.model import ModelConfig
from tinkery_recipes_multiplayer.comparisons import ComparisonsBuilder
from tinkery_recipes_multiplayer.preference import AgainstAnswerBuilder, PreferenceBuilder
from tinkery_recipes_multiplayer.train import train_multiplayer
from tinkery_rl.config import RLConfig
from tinkery_rl.envs.judges import FunctionJudge, ShorterIsBetter, prefer_shorter
from tinkery_rl.envs.model_judges import TEMPLATE, comparison
from tinkery_rl.envs.pairwise import PairwiseGroupBuilder
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.rollouts import play_group
from tinkery_rl.types import RLSetup
from tinkery_supervised.manners.builder import MannersBuilder
from tinkery_supervised.preferences.dataset import good
from tinkery_supervised.script import train_sft
from tinkery_supervised.types import Example, SupervisedSetup

TINY = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3")


def options(group: str) -> list[str]:
    folder = files("tinkery_recipes_multiplayer.conf").joinpath(group)
    return sorted(path.name.removesuffix(".yaml") for path in folder.iterdir() if path.name.endswith(".yaml"))


def resolved(*overrides: str) -> RLConfig:
    loader = make_loader("tinkery_recipes_multiplayer.conf", None)
    return resolve(RLConfig, compose(loader, "train_multiplayer", "train-multiplayer", list(overrides)))


@pytest.mark.parametrize(
    "override", [f"env={name}" for name in options("env")] + ["+experiment=preference_small"]
)
def test_each_env_resolves_and_builds(override: str) -> None:
    config = resolved(override)
    datasets = config.env(config.setup)
    assert datasets.test is not None
    assert len(datasets.train.get_batch(0)) == config.groups_per_batch


def test_every_yaml_is_tried_somewhere_here() -> None:
    assert options("experiment") == ["judge_small", "preference_small"]
    assert options("dataset") == ["comparisons"]
    assert options("evaluators") == ["manners"]


def test_the_judge_is_trained_on_the_very_tokens_that_it_is_asked() -> None:
    """Each pair in both orders, and nothing but the letter and the end of the message is learned."""
    pairs = MannersBuilder(num_test=0)
    setup = SupervisedSetup(
        model=TINY,
        batch_size=8,
        batch_tokens=None,
        epochs=1,
        max_steps=None,
        max_length=None,
        on_bad_row="fail",
        seed=0,
    )
    test = ComparisonsBuilder(preferences=MannersBuilder(num_test=3)).items(setup).test
    held_out = MannersBuilder(num_test=3)("fail").test
    assert test is not None and held_out is not None and len(test) == 6
    assert len(pairs("fail").train) == 1000
    chat = TINY.load_chat()
    for row in range(3):
        pair = good(held_out[row])
        chosen, rejected = pair.answers
        for side, (letter, first, second) in enumerate([("A", chosen, rejected), ("B", rejected, chosen)]):
            item = test[2 * row + side]
            assert isinstance(item, Example)
            asked = chat.render_prompt(comparison(TEMPLATE, pair.prompt, first, second))
            assert item.tokens_T[: len(asked) + 1] == [*asked, *chat.encode(letter)]
            assert item.weights_T.tolist() == [0] * len(asked) + [1] * (len(item.tokens_T) - len(asked))
            assert item.num_targets == 2


async def test_in_the_test_each_answer_meets_the_one_of_the_data() -> None:
    chat = TINY.load_chat()
    said = ["1", "1 2", "1 2 3", ""]

    async def policy(prompt: list[int], stop: Stop | None = None) -> Completion:
        tokens = [*chat.encode(said.pop(0)), chat.stop_tokens[0]]
        return Completion(tokens, [-1.0] * len(tokens), "stop")

    fields = {
        "messages": ({"role": "user", "content": "Count."},),
        "model": TINY,
        "judge": FunctionJudge(prefer_shorter),
        "num_envs": 4,
        "answer": "7 8",
    }
    builder = chz.Blueprint(AgainstAnswerBuilder).apply(fields).make()
    with anyio.fail_after(60):
        group = (await play_group(builder, policy, "here", RolloutConfig())).group
    assert group is not None
    assert group.rewards_G == [1, 0, -1, -1]
    assert [reward.metrics["win_rate"] for reward in group.group_rewards_G] == [1, 0.5, 0, 0]


def test_batches_of_prompts_depend_on_their_number_alone() -> None:
    builder = PreferenceBuilder(preferences=MannersBuilder(), judge=ShorterIsBetter(), both_ways=False)
    setup = RLSetup(TINY, groups_per_batch=4, group_size=2, seed=1)

    def prompts(index: int) -> list[Sequence[Mapping[str, object]]]:
        groups = builder(setup).train.get_batch(index)
        assert all(isinstance(group, PairwiseGroupBuilder) and not group.both_ways for group in groups)
        return [group.messages for group in groups if isinstance(group, PairwiseGroupBuilder)]

    assert prompts(3) == prompts(3) != prompts(2)


def test_a_judge_that_is_not_there_is_named_with_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["env=preference", "env.judge.path=nowhere", f"run_dir={tmp_path / 'run'}"]
    assert train_multiplayer.main(arguments) == 2
    assert capsys.readouterr().err == (
        "env.judge.path=nowhere: there is no such folder.\n"
        "Expected the folder of a run, or the path of sampler weights, tinker://<run>/sampler_weights/<name>.\n"
    )


def last_line(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])


def test_a_run_asks_the_judge_that_another_run_has_trained(tmp_path: Path) -> None:
    """Each run has a server of its own; the second one's finds the weights in the first one's folder."""
    judge, policy = tmp_path / "judge", tmp_path / "policy"
    few = ["max_steps=2", "evaluators.judge.num_pairs=4"]
    assert train_sft.main(["+experiment=judge_small", *few, f"run_dir={judge}"]) == 0
    assert last_line(judge).keys() >= {
        f"test/judge/{name}" for name in ("accuracy", "preference", "disagreement")
    }
    small = ["max_steps=1", "groups_per_batch=2", "group_size=2", "env.num_test_prompts=2", "eval_every=0"]
    small.append("evaluators.manners.num_samples=1")
    paths = [f"env.judge.path={judge}", f"run_dir={policy}"]
    assert train_multiplayer.main(["+experiment=preference_small", *small, *paths]) == 0
    found = last_line(policy)
    manners = [found[f"test/manners/{name}"] for name in ("kind", "plain", "rude")]
    assert sum(manners) == pytest.approx(1)
    assert 0 <= found["test/manners/kind_and_right"] <= found["test/manners/right"] <= 1
    assert 0 < found["test/env/all/win_rate"] < 1
