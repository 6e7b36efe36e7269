"""Failing environments in the real trainer: the run ends with the message, or goes on and counts."""

import asyncio
import pickle
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import chz
import pytest
from tinkery_core.completers import Completion
from tinkery_core.model import ModelConfig
from tinkery_rl.config import RLConfig
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.rollouts import RolloutError
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

Train = Callable[[RLConfig], Awaitable[list[dict[str, float]]]]
Configure = Callable[..., RLConfig]

PROGRAM = """
import asyncio, pathlib, pickle, sys
from tinkery_core import event_loop
from tinkery_core.run import open_run
from tinkery_rl import calls
from tinkery_rl.envs.problem import ProblemEnv
from tinkery_rl.train import train

async def ignores_its_cancellation(env, action):
    while True:
        try:
            await asyncio.Event().wait()
        except BaseException:
            pass

ProblemEnv.step = ignores_its_cancellation
calls.GRACE_S = event_loop._END_TIMEOUT_S = 0.1
config = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
try:
    with open_run(config) as run:
        event_loop.run_to_end(train(config, run))
except calls.RolloutError as error:
    print(error)
    event_loop.leave(1)
"""


def sleep(seconds: float) -> None:
    """Plain sleep, hidden from the rule that forbids it in coroutines."""
    time.sleep(seconds)


class Ill(Env):
    """One turn; it is in trouble, unless it has none."""

    def __init__(self, model: ModelConfig, trouble: str) -> None:
        self.model = model
        self.trouble = trouble

    async def initial_observation(self) -> Observation:
        if self.trouble == "starts late":
            await asyncio.Event().wait()
        chat = self.model.load_chat()
        return Observation(
            chat.render_prompt([{"role": "user", "content": "What is 1 + 2?"}]), chat.stop_tokens
        )

    async def step(self, action: Completion) -> StepResult:
        match self.trouble:
            case "hangs":
                await asyncio.Event().wait()
            case "blocks":
                sleep(1000)
            case "raises":
                raise RuntimeError("out of order")
            case _:
                pass
        return StepResult(float(action.tokens[0] % 2))


@chz.chz
class IllGroup(EnvGroupBuilder):
    """Its second member is in trouble."""

    model: ModelConfig
    size: int
    trouble: str

    async def make_envs(self) -> Sequence[Env]:
        return [Ill(self.model, self.trouble if member == 1 else "") for member in range(self.size)]


@chz.chz
class IllBuilder(RLDatasetBuilder):
    """Two batches of two groups, of which the second is ill; and one of these is held out."""

    trouble: str

    def __call__(self, setup: RLSetup) -> RLDatasets:
        return RLDatasets(Batches(setup, ["", self.trouble]), Batches(setup, ["", self.trouble]))


class Batches(RLDataset):
    def __init__(self, setup: RLSetup, troubles: Sequence[str]) -> None:
        self.setup = setup
        self.troubles = troubles

    def __len__(self) -> int:
        return 2

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        setup = self.setup
        return [
            IllGroup(model=setup.model, size=setup.group_size, trouble=trouble) for trouble in self.troubles
        ]


@pytest.mark.parametrize("trouble", ["hangs", "blocks"])
async def test_a_run_ends_and_names_the_environment_that_never_returns(
    trouble: str, configure: Configure, trained: Train
) -> None:
    config = configure(env=IllBuilder(trouble=trouble), rollouts=RolloutConfig(max_call_seconds=0.5))
    with pytest.raises(RolloutError) as raised:
        await trained(config)
    assert "group 1, member 1, turn 0: Ill.step took longer than rollouts.max_call_seconds=0.5" in str(
        raised.value
    )


async def test_a_dry_run_names_the_environment_too(configure: Configure, trained: Train) -> None:
    rollouts = RolloutConfig(max_call_seconds=0.1)
    config = configure(env=IllBuilder(trouble="starts late"), rollouts=rollouts, dry_run=True)
    config.model.load_chat()  # so that it takes no time inside of an environment
    with pytest.raises(RolloutError) as raised:
        await trained(config)
    assert str(raised.value) == (
        "batch 0, group 1, member 1: Ill.initial_observation took longer than rollouts.max_call_seconds=0.1"
    )


def test_a_process_ends_though_its_environments_ignore_their_cancellation(
    configure: Configure, tmp_path: Path
) -> None:
    config = tmp_path / "config.pickle"
    config.write_bytes(pickle.dumps(configure(rollouts=RolloutConfig(max_call_seconds=0.1), eval_every=0)))
    command = [sys.executable, "-c", PROGRAM, str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "ProblemEnv.step took longer than rollouts.max_call_seconds=0.1" in ended.stdout


async def test_a_run_that_may_lose_members_goes_on_and_counts_them(
    configure: Configure, trained: Train
) -> None:
    rollouts = RolloutConfig(retries=1, min_alive=0.8)
    lines = await trained(configure(env=IllBuilder(trouble="raises"), rollouts=rollouts, eval_every=1))
    for line in lines[:-1]:
        assert line["rollouts/num_failures"] == 2
        assert line["rollouts/num_retries"] == 1
        assert line["rollouts/num_members_left_out"] == 1
        assert line["rollouts/num_groups_left_out"] == 0
        assert line["env/all/total_episodes"] == 8 + 7
        assert line["env/all/frac_cut"] == 0
    for line in lines:
        assert line["test/rollouts/num_failures"] == 4
        assert line["test/rollouts/num_members_left_out"] == 2
