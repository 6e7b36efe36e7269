"""A task that costs next to nothing, run by the real trainer: what is left is the trainer's own cost."""

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import chz
from pace import prompt_of
from tinkery_core.completers import Completion
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

PAGE_MIB = resource.getpagesize() / 2**20


@dataclass(frozen=True)
class Mark:
    """When the trainer asked for a batch: the clock, this process's CPU seconds, and its resident MiB."""

    wall_s: float
    cpu_s: float
    resident_mib: float


MARKS: list[Mark] = []
"""One a batch of the run in progress. A config object cannot carry it: it is data."""


def mark() -> Mark:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Mark(time.perf_counter(), time.process_time(), pages * PAGE_MIB)


@dataclass(frozen=True)
class ProbeEnv(Env):
    """One turn. Half of the stand-in's completions begin with token 1, and these are rewarded."""

    observation: Observation

    async def initial_observation(self) -> Observation:
        return self.observation

    async def step(self, action: Completion) -> StepResult:
        return StepResult(float(action.tokens[0] == 1))


@chz.chz
class ProbeGroup(EnvGroupBuilder):
    """Envs that share one prompt."""

    batch: int
    group: int
    num_envs: int

    async def make_envs(self) -> Sequence[Env]:
        return [ProbeEnv(Observation(prompt_of(self.batch, self.group)))] * self.num_envs


@dataclass(frozen=True)
class ProbeDataset(RLDataset):
    """Batches without end, or nearly."""

    setup: RLSetup

    def __len__(self) -> int:
        return 10_000

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        MARKS.append(mark())
        return [
            ProbeGroup(batch=index, group=p, num_envs=self.setup.group_size)
            for p in range(self.setup.groups_per_batch)
        ]


@chz.chz
class ProbeBuilder(RLDatasetBuilder):
    """The probe as a task of a config."""

    def __call__(self, setup: RLSetup) -> RLDatasets:
        return RLDatasets(train=ProbeDataset(setup), test=None)
