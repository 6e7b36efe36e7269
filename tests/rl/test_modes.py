"""The modes: what enters which step, how old it is, what waits for what, and that nothing hangs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
import chz
import pytest
from tinkery_core.completers import Completion
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig
from tinkery_rl.algorithm import Algorithm, DynamicSampling
from tinkery_rl.config import RLConfig
from tinkery_rl.guard import Guard, PolicyMismatch
from tinkery_rl.losses import PPO
from tinkery_rl.modes import Mode, OffPolicy, OnPolicy, Streamed
from tinkery_rl.reference import KLPenalty
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.rollouts import RolloutError
from tinkery_rl.sampling import SampledGroup
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
from tinkery_rl.update import Updater

Lines = list[dict[str, float]]
Train = Callable[[RLConfig], Awaitable[Lines]]
Configure = Callable[..., RLConfig]
Hook = Callable[[int, int], Awaitable[None]]
"""Called with the batch and the group of an env before its first observation."""

MODES = [
    pytest.param(OnPolicy(), id="on_policy"),
    pytest.param(Streamed(num_minibatches=2), id="streamed"),
    pytest.param(Streamed(num_minibatches=2, in_order=True), id="streamed in order"),
    pytest.param(OffPolicy(max_steps_off_policy=1), id="off_policy 1"),
    pytest.param(OffPolicy(max_steps_off_policy=3), id="off_policy 3"),
]
TIMEOUT_S = 60


class OneTurn(Env):
    """One turn; the first token's parity is the reward, or 1 for all in a constant group."""

    def __init__(self, tokens: list[int], before: Callable[[], Awaitable[None]], constant: bool) -> None:
        self.tokens = tokens
        self.before = before
        self.constant = constant

    async def initial_observation(self) -> Observation:
        await self.before()
        return Observation(self.tokens)

    async def step(self, action: Completion) -> StepResult:
        return StepResult(1.0 if self.constant else float(action.tokens[0] % 2))


@chz.chz
class OneTurnGroup(EnvGroupBuilder):
    model: ModelConfig
    size: int
    batch: int
    group: int
    hook: Hook
    constant: bool

    async def make_envs(self) -> Sequence[Env]:
        chat = self.model.load_chat()
        tokens = chat.render_prompt([{"role": "user", "content": f"What is {self.batch} + {self.group}?"}])
        return [
            OneTurn(tokens, lambda: self.hook(self.batch, self.group), self.constant)
            for _ in range(self.size)
        ]

    def logging_tags(self) -> Sequence[str]:
        return ["constant" if self.constant else "varied"]


class OneTurns(RLDataset):
    def __init__(self, setup: RLSetup, hook: Hook, num_constant: int) -> None:
        self.setup = setup
        self.hook = hook
        self.num_constant = num_constant
        self.drawn: list[int] = []

    def __len__(self) -> int:
        return 12

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        self.drawn.append(index)
        return [
            OneTurnGroup(
                model=self.setup.model,
                size=self.setup.group_size,
                batch=index,
                group=p,
                hook=self.hook,
                constant=p < self.num_constant,
            )
            for p in range(self.setup.groups_per_batch)
        ]


async def nothing(batch: int, group: int) -> None: ...


def one_turns(
    hook: Hook = nothing, num_constant: int = 0, made: Callable[[OneTurns], None] = lambda dataset: None
) -> RLDatasetBuilder:
    """A config of data only, whose dataset calls the hook."""

    @chz.chz
    class OneTurnBuilder(RLDatasetBuilder):
        def __call__(self, setup: RLSetup) -> RLDatasets:
            dataset = OneTurns(setup, hook, num_constant)
            made(dataset)
            return RLDatasets(dataset, None)

    return OneTurnBuilder()


def timeless(lines: Lines) -> Lines:
    return [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]


@pytest.mark.parametrize("mode", MODES)
async def test_each_mode_trains_on_each_batch_once_and_evaluates_the_final_weights(
    mode: Mode, configure: Configure, trained: Train
) -> None:
    lines = await trained(configure(mode=mode, max_steps=6))
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4, 5, 6]
    assert ["test/env/all/reward/total" in line for line in lines] == [True, False] * 3 + [True]
    bound = mode.max_steps_off_policy if isinstance(mode, OffPolicy) else 0
    ages = [line.get("train/policy_age/max", 0.0) for line in lines[:-1]]
    assert all(age <= min(step, bound) for step, age in enumerate(ages))
    assert all(line["env/all/total_episodes"] == 4 * 8 for line in lines[:-1])


async def test_off_policy_batches_are_as_old_as_their_steps_allow(
    configure: Configure, trained: Train
) -> None:
    """Each batch begins with the policy that its bound asks for, as nothing newer is there to begin with."""
    config = configure(env=one_turns(), mode=OffPolicy(max_steps_off_policy=2), max_steps=5)
    lines = await trained(config)
    assert [line["train/policy_age/max"] for line in lines[:-1]] == [0, 1, 2, 2, 2]
    assert [line["optim/num_datums"] > 0 for line in lines[:-1]] == [True] * 5


async def test_streamed_minibatches_make_the_update_of_the_whole_batch(
    configure: Configure, trained: Train, tmp_path: Path
) -> None:
    whole = await trained(configure(run_dir=str(tmp_path / "whole"), max_steps=2))
    for name, in_order in (("ended", False), ("in order", True)):
        mode = Streamed(num_minibatches=3, in_order=in_order)
        streamed = await trained(configure(run_dir=str(tmp_path / name), max_steps=2, mode=mode))
        assert streamed[0]["env/all/reward/total"] == whole[0]["env/all/reward/total"]
        for key in ("optim/loss", "optim/num_tokens", "optim/entropy"):
            assert streamed[0][key] == pytest.approx(whole[0][key], abs=1e-6)
        # The second batch is sampled from the policy that the first update made.
        assert streamed[1]["optim/entropy"] == pytest.approx(whole[1]["optim/entropy"], abs=1e-3)


async def test_streamed_in_order_is_equal_to_the_bit(
    configure: Configure, trained: Train, tmp_path: Path
) -> None:
    mode = Streamed(num_minibatches=4, in_order=True)
    first, again = [
        await trained(configure(run_dir=str(tmp_path / name), mode=mode)) for name in ("first", "again")
    ]
    assert timeless(first) == timeless(again)


async def test_a_minibatch_is_trained_on_while_the_rest_of_its_batch_is_played(
    configure: Configure, trained: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last group waits for the first pass: were it waited for, this would never end."""
    passed = asyncio.Event()
    add = Updater.add

    async def add_and_tell(updater: Updater, groups: Sequence[SampledGroup]) -> None:
        await add(updater, groups)
        passed.set()

    async def wait(batch: int, group: int) -> None:
        if group == 3:
            await passed.wait()

    monkeypatch.setattr(Updater, "add", add_and_tell)
    config = configure(env=one_turns(hook=wait), mode=Streamed(num_minibatches=2), max_steps=1)
    with anyio.fail_after(TIMEOUT_S):
        await trained(config)


async def test_off_policy_plays_as_many_batches_ahead_as_its_bound_allows_and_no_more(
    configure: Configure, trained: Train
) -> None:
    """The first batch waits until the last that may be played with it has begun."""
    ahead = asyncio.Event()
    begun: list[int] = []

    async def hook(batch: int, group: int) -> None:
        begun.append(batch)
        if batch == 2:
            ahead.set()
        if batch == 0:
            await ahead.wait()
            assert max(begun) == 2

    config = configure(
        env=one_turns(hook=hook), mode=OffPolicy(max_steps_off_policy=2), max_steps=5, eval_every=0
    )
    with anyio.fail_after(TIMEOUT_S):
        lines = await trained(config)
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4, 5]


async def test_concurrency_is_bounded_over_all_batches_in_play(configure: Configure, trained: Train) -> None:
    playing: set[tuple[int, int]] = set()
    most = 0

    async def hook(batch: int, group: int) -> None:
        nonlocal most
        playing.add((batch, group))
        most = max(most, len(playing))
        await asyncio.sleep(0)
        playing.discard((batch, group))

    config = configure(
        env=one_turns(hook=hook),
        mode=OffPolicy(max_steps_off_policy=2),
        rollouts=RolloutConfig(max_concurrent_groups=2),
    )
    await trained(config)
    assert 1 <= most <= 2


@pytest.mark.parametrize("mode", MODES)
async def test_a_raising_env_ends_each_mode_and_is_named(
    mode: Mode, configure: Configure, trained: Train
) -> None:
    async def hook(batch: int, group: int) -> None:
        if (batch, group) == (1, 2):
            raise OSError("no more room")

    with anyio.fail_after(TIMEOUT_S), pytest.raises(RolloutError) as raised:
        await trained(configure(env=one_turns(hook=hook), mode=mode))
    assert str(raised.value).startswith("batch 1, group 2, member ")
    assert str(raised.value).endswith("OneTurn.initial_observation raised OSError: no more room")


@pytest.mark.parametrize("mode", MODES)
async def test_a_hanging_env_ends_each_mode_and_is_named(
    mode: Mode, configure: Configure, trained: Train
) -> None:
    async def hook(batch: int, group: int) -> None:
        if (batch, group) == (1, 2):
            await asyncio.Event().wait()

    config = configure(env=one_turns(hook=hook), mode=mode, rollouts=RolloutConfig(max_call_seconds=1.0))
    with anyio.fail_after(TIMEOUT_S), pytest.raises(RolloutError) as raised:
        await trained(config)
    assert "took longer than rollouts.max_call_seconds=1" in str(raised.value)


@pytest.mark.parametrize("mode", [MODES[0], MODES[1], MODES[3]])
async def test_each_mode_goes_on_without_the_groups_that_failed(
    mode: Mode, configure: Configure, trained: Train
) -> None:
    async def hook(batch: int, group: int) -> None:
        if group == 2:
            raise OSError("no more room")

    config = configure(
        env=one_turns(hook=hook), mode=mode, max_steps=2, rollouts=RolloutConfig(min_alive=0.5)
    )
    lines = await trained(config)
    assert [line["rollouts/num_groups_left_out"] for line in lines[:-1]] == [1, 1]
    assert [line["env/all/total_episodes"] for line in lines[:-1]] == [24, 24]
    log = (Path(config.run_dir) / "log.txt").read_text()
    assert "step 1 went on without: batch 1, group 2, member" in log


async def test_a_step_without_any_group_is_a_failure_that_says_why(
    configure: Configure, trained: Train
) -> None:
    async def hook(batch: int, group: int) -> None:
        raise OSError("no more room")

    config = configure(env=one_turns(hook=hook), rollouts=RolloutConfig(min_alive=0.5))
    with pytest.raises(RolloutError) as raised:
        await trained(config)
    assert str(raised.value).startswith("step 0: no group came through. First, batch 0, group 0")
    assert "OSError: no more room" in str(raised.value)


def algorithm(**changes: object) -> Algorithm:
    chain = {"baseline": "group_mean", "scale": "none", "length_normalisation": "per_token"}
    return chz.Blueprint(Algorithm).apply(chain | changes).make()


async def test_dynamic_sampling_draws_on_until_enough_groups_differ_and_reports_all_of_them(
    configure: Configure, trained: Train
) -> None:
    """Three of four groups are constant. Each step owns three batches; all that it draws is reported."""
    datasets: list[OneTurns] = []
    config = configure(
        env=one_turns(num_constant=3, made=datasets.append),
        algorithm=algorithm(dynamic_sampling=DynamicSampling(max_batches=3)),
        max_steps=2,
    )
    lines = await trained(config)
    assert datasets[0].drawn == [0, 1, 2, 3, 4, 5]
    for line in lines[:-1]:
        assert line["env/all/total_episodes"] == 3 * 4 * 8
        assert line["env/constant/reward/total"] == 1
        assert line["env/all/reward/total"] == pytest.approx(0.75 + 0.25 * line["env/varied/reward/total"])
        assert line["optim/num_datums"] == 3 * 8


async def test_dynamic_sampling_draws_no_more_than_it_needs(configure: Configure, trained: Train) -> None:
    datasets: list[OneTurns] = []
    config = configure(
        env=one_turns(made=datasets.append),
        algorithm=algorithm(dynamic_sampling=DynamicSampling(max_batches=3)),
    )
    lines = await trained(config)
    assert [line["step"] for line in lines] == [0, 1, 2, 3]  # of twelve batches, three make a step
    assert datasets[0].drawn[0] == 0
    assert {index // 3 for index in datasets[0].drawn} == {0, 1, 2}
    assert len(datasets[0].drawn) < 9


async def test_a_dataset_too_small_for_one_step_is_refused_before_anything_starts(
    configure: Configure, trained: Train
) -> None:
    config = configure(env=one_turns(), algorithm=algorithm(dynamic_sampling=DynamicSampling(max_batches=13)))
    with pytest.raises(UserError) as raised:
        await trained(config)
    assert str(raised.value) == (
        "algorithm.dynamic_sampling.max_batches=13 is more than the 12 batches that env has, and a step takes "
        "that many.\nLower it to 12 or less, or give env more batches."
    )


async def test_an_env_that_blocks_everything_ends_the_run_and_is_named(
    configure: Configure, trained: Train
) -> None:
    blocked: set[int] = set()

    async def hook(batch: int, group: int) -> None:
        if (batch, group) == (1, 2) and not blocked:  # once is enough: each member would block for its bound
            blocked.add(batch)
            time.sleep(1000)  # noqa: ASYNC251, that is the point

    config = configure(env=one_turns(hook), rollouts=RolloutConfig(max_call_seconds=1.0))
    with pytest.raises(RolloutError) as raised:
        await trained(config)
    assert "OneTurn.initial_observation took longer than rollouts.max_call_seconds=1" in str(raised.value)


async def test_a_penalty_holds_the_policy_near_its_reference(
    configure: Configure, trained: Train, tmp_path: Path
) -> None:
    """The first batch is the reference's own; after that the penalty decides how far the policy goes."""
    gaps: dict[float, list[float]] = {}
    for coef in (1e-6, 10.0):
        config = configure(
            run_dir=str(tmp_path / str(coef)),
            algorithm=algorithm(kl_penalty=KLPenalty(coef=coef)),
            max_steps=5,
            eval_every=0,
        )
        gaps[coef] = [line["optim/kl_reference"] for line in (await trained(config))[:-1]]
        assert gaps[coef][0] == pytest.approx(0, abs=1e-5)
    assert abs(gaps[10.0][-1]) < 0.5 * abs(gaps[1e-6][-1])


async def test_a_reference_that_the_service_does_not_have_is_named(
    configure: Configure, trained: Train
) -> None:
    penalty = KLPenalty(coef=0.1, reference="tinker://nobody/weights/000001")
    with pytest.raises(UserError) as raised:
        await trained(configure(algorithm=algorithm(kl_penalty=penalty)))
    assert str(raised.value).startswith(
        "algorithm.kl_penalty.reference=tinker://nobody/weights/000001 cannot be loaded.\n  The service says: "
    )


async def test_the_guard_stops_a_run_whose_sampler_and_trainer_disagree(
    configure: Configure, trained: Train
) -> None:
    """After the first of two optimizer steps the trainer is another policy than the one that sampled."""
    config = configure(
        num_substeps=2, algorithm=algorithm(loss=PPO()), guard=Guard(max_kl=1e-9, action="stop")
    )
    with pytest.raises(PolicyMismatch) as raised:
        await trained(config)
    assert str(raised.value).startswith("step 0: sampler and trainer are ")
    assert "above guard.max_kl=1e-09.\nLower learning_rate" in str(raised.value)
    assert len((Path(config.run_dir) / "metrics.jsonl").read_text().splitlines()) == 1


async def test_the_guard_warns_and_trains_on(
    configure: Configure, trained: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(num_substeps=2, algorithm=algorithm(loss=PPO()), guard=Guard(max_kl=1e-9), max_steps=1)
    lines = await trained(config)
    assert [line["step"] for line in lines] == [0, 1]
    assert "step 0: sampler and trainer are" in capsys.readouterr().out
