"""The trainer, through the unmodified SDK, against the embedded server."""

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
import chz
import pytest
from tinkery_core.chat import Chat, Message
from tinkery_core.completers import Completion
from tinkery_core.model import ModelConfig
from tinkery_core.run import open_run
from tinkery_rl.config import RLConfig
from tinkery_rl.rollouts import RolloutError
from tinkery_rl.train import train
from tinkery_rl.types import (
    Env,
    EnvGroupBuilder,
    Observation,
    RLDataset,
    RLDatasetBuilder,
    RLDatasets,
    RLSetup,
    StepResult,
)

Lines = list[dict[str, float]]
Train = Callable[[RLConfig], Awaitable[Lines]]
Configure = Callable[..., RLConfig]


async def test_each_step_has_its_line_and_the_final_weights_theirs(
    configure: Configure, trained: Train
) -> None:
    config = configure()
    lines = await trained(config)
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    assert [line["progress/done_frac"] for line in lines] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    tested = ["test/env/all/reward/total" in line for line in lines]
    assert tested == [True, False, True, True]
    for line in lines[:-1]:
        assert line.keys() >= {
            "env/all/reward/total",
            "env/all/correct",
            "env/all/by_group/frac_mixed",
            "optim/lr",
            "optim/loss",
            "optim/kl_sample_train",
            "optim/entropy",
            "time/total",
            "time/sampling",
            "time/training",
        }
        assert line["env/all/total_episodes"] == 4 * 8
        # Sampler and trainer are the same policy here, up to the rounding of float32.
        assert abs(line["optim/kl_sample_train"]) < 1e-4
    checkpoints = _records(config, "checkpoints.jsonl")
    assert [(record["step"], record["kind"]) for record in checkpoints] == [(2, "periodic"), (3, "final")]


async def test_rollouts_show_what_the_policy_saw_and_wrote(configure: Configure, trained: Train) -> None:
    config = configure(max_steps=1, num_groups_to_log=2)
    await trained(config)
    rollouts = _records(config, "rollouts.jsonl")
    assert [(record["group"], record["member"]) for record in rollouts] == [
        (p, g) for p in (0, 1) for g in range(8)
    ]
    assert "What is " in json.dumps(rollouts[0]["messages"])


def _records(config: RLConfig, name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (Path(config.run_dir) / name).read_text().splitlines()]


async def test_same_seed_same_metrics_and_another_seed_others(
    configure: Configure, trained: Train, tmp_path: Path
) -> None:
    first = await trained(configure(run_dir=str(tmp_path / "first")))
    again = await trained(configure(run_dir=str(tmp_path / "again")))
    other = await trained(configure(run_dir=str(tmp_path / "other"), seed=1))
    assert _timeless(first) == _timeless(again)
    assert _timeless(first) != _timeless(other)


def _timeless(lines: Lines) -> Lines:
    return [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]


async def test_a_finished_run_is_left_as_it_is(configure: Configure, trained: Train) -> None:
    assert await trained(configure()) == await trained(configure())


async def test_substeps_take_one_optimizer_step_each(
    configure: Configure, trained: Train, tmp_path: Path
) -> None:
    """After the first of two optimizer steps the trainer is no longer the policy that sampled."""
    once = await trained(configure(run_dir=str(tmp_path / "one"), max_steps=1))
    twice = await trained(configure(run_dir=str(tmp_path / "two"), max_steps=1, num_substeps=2))
    assert twice[0]["optim/num_datums"] == once[0]["optim/num_datums"]
    assert abs(twice[0]["optim/kl_sample_train"]) > 10 * abs(once[0]["optim/kl_sample_train"])


class CountDown(Env):
    """Three turns of chat, each extending the tokens of the one before."""

    def __init__(self, chat: Chat, reward: Callable[[int], float]) -> None:
        self.chat = chat
        self.reward = reward
        self.turn = 0
        self.prompt: list[int] = []

    async def initial_observation(self) -> Observation:
        return self._observe(self.chat.render_prompt([{"role": "user", "content": "What is 1 + 2?"}]))

    async def step(self, action: Completion) -> StepResult:
        self.turn += 1
        reward = self.reward(action.tokens[0])
        if self.turn == 3:
            return StepResult(reward)
        question: Message = {"role": "user", "content": f"What is {self.turn} + 3?"}
        return StepResult(reward, self._observe(self.chat.extend(self.prompt, action.tokens, [question])))

    def _observe(self, prompt: list[int]) -> Observation:
        self.prompt = prompt
        return Observation(prompt, self.chat.stop_tokens)


@chz.chz
class CountDownGroup(EnvGroupBuilder):
    model: ModelConfig
    size: int
    kind: str

    async def make_envs(self) -> Sequence[Env]:
        chat = self.model.load_chat()
        rewards: dict[str, Callable[[int], float]] = {
            "varied": lambda token: float(token % 2),
            "constant": lambda token: 1.0,
            "broken": lambda token: token / 0,
        }
        return [CountDown(chat, rewards[self.kind]) for _ in range(self.size)]


class CountDowns(RLDataset):
    """One group of each kind a batch."""

    def __init__(self, setup: RLSetup, kinds: Sequence[str]) -> None:
        self.setup = setup
        self.kinds = kinds

    def __len__(self) -> int:
        return 2

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        return [
            CountDownGroup(model=self.setup.model, size=self.setup.group_size, kind=kind)
            for kind in self.kinds
        ]


@chz.chz
class CountDownBuilder(RLDatasetBuilder):
    kinds: tuple[str, ...]

    def __call__(self, setup: RLSetup) -> RLDatasets:
        return RLDatasets(CountDowns(setup, self.kinds), None)


async def test_an_episode_of_three_turns_is_one_datum(configure: Configure, trained: Train) -> None:
    lines = await trained(configure(env=CountDownBuilder(kinds=("varied",)), max_steps=1))
    assert lines[0]["env/all/turns_per_episode"] == 3
    assert lines[0]["env/all/by_group/frac_mixed"] == 1
    assert lines[0]["optim/num_datums"] == lines[0]["env/all/total_episodes"] == 8
    assert lines[0]["optim/num_tokens"] == lines[0]["env/all/total_ac_tokens"]


async def test_groups_of_one_reward_are_reported_but_not_trained_on(
    configure: Configure, trained: Train
) -> None:
    lines = await trained(configure(env=CountDownBuilder(kinds=("varied", "constant")), max_steps=1))
    assert lines[0]["env/all/total_episodes"] == 16
    assert lines[0]["env/all/by_group/frac_all_good"] == 0.5
    assert lines[0]["optim/num_datums"] == 8


async def test_a_batch_without_any_advantage_updates_nothing(configure: Configure, trained: Train) -> None:
    lines = await trained(configure(env=CountDownBuilder(kinds=("constant",))))
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert [line["optim/num_datums"] for line in lines[:-1]] == [0, 0]
    assert [line["env/all/reward/total"] for line in lines[:-1]] == [3.0, 3.0]


async def test_a_raising_env_ends_the_run_and_is_named(configure: Configure, trained: Train) -> None:
    config = configure(env=CountDownBuilder(kinds=("varied", "broken")))
    with pytest.raises(RolloutError) as raised:
        await trained(config)
    assert str(raised.value) == (
        "batch 0, group 1, member 0, turn 0: CountDown.step raised ZeroDivisionError: division by zero"
    )


async def test_evaluation_runs_beside_the_training_of_the_step_it_reports(configure: Configure) -> None:
    """Held-out envs wait for a training env of the same step: waiting for them first would never end."""
    training = anyio.Event()

    class Opening(CountDown):
        async def initial_observation(self) -> Observation:
            training.set()
            return await super().initial_observation()

    class Waiting(CountDown):
        async def initial_observation(self) -> Observation:
            await training.wait()
            return await super().initial_observation()

    @chz.chz
    class OneEnv(EnvGroupBuilder):
        env: type[CountDown]

        async def make_envs(self) -> Sequence[Env]:
            return [self.env(configure().model.load_chat(), lambda token: 1.0)]

    class OneGroup(RLDataset):
        def __init__(self, env: type[CountDown]) -> None:
            self.env = env

        def __len__(self) -> int:
            return 1

        def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
            return [OneEnv(env=self.env)]

    @chz.chz
    class Builder(RLDatasetBuilder):
        def __call__(self, setup: RLSetup) -> RLDatasets:
            return RLDatasets(OneGroup(Opening), OneGroup(Waiting))

    config = configure(env=Builder())
    with anyio.fail_after(60), open_run(config) as run:
        await train(config, run)


async def test_a_dry_run_prints_the_plan_and_calls_no_service(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(dry_run=True)
    with open_run(config) as run:
        await train(config, run)
    printed = capsys.readouterr().out
    assert "What is " in printed
    assert not (Path(config.run_dir) / "metrics.jsonl").exists()
