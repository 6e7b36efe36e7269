"""The nouns of reinforcement learning here; read this file first.

Data flows from the bottom of the file to its top. An `RLDatasetBuilder` (configuration) builds an
`RLDataset`, whose batches are lists of `EnvGroupBuilder`s; each of these makes the `Env`s of one group; an
env rolled out against a policy leaves a `Trajectory`, and those of one group a `TrajectoryGroup`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import chz
from tinkery_core.run_service import RunService

if TYPE_CHECKING:
    from tinkery_core.completers import Completion, Stop
    from tinkery_core.model import ModelConfig

Metrics = Mapping[str, float]

Cut: TypeAlias = Literal["turns", "tokens"]
"""Which bound cut an episode short: `rollouts.max_turns` or `rollouts.max_episode_tokens`."""


@dataclass(frozen=True)
class Observation:
    """What the policy sees before it acts: the whole context in tokens, and what ends the action.

    In an episode of several turns the tokens of each observation begin with those of the observation and
    action before it (see `tinkery_core.chat.Chat.extend`): then the whole episode trains as one datum.
    """

    tokens: list[int]
    stop: Stop | None = None


@dataclass(frozen=True)
class StepResult:
    """The environment's answer to one action. No next observation means that the episode is over."""

    reward: float
    next_observation: Observation | None = None
    metrics: Metrics = field(default_factory=dict[str, float])


class NoTurn(Exception):
    """The seat of a game had no turn before the game was over."""


class Env(ABC):
    """One episode with one agent. There is no reset: an env is discarded after its rollout."""

    @abstractmethod
    async def initial_observation(self) -> Observation:
        """What the policy sees first. The seat of a game waits here for its first turn; NoTurn says it had none."""

    @abstractmethod
    async def step(self, action: Completion) -> StepResult:
        """Apply what the policy sampled (its tokens end with the stop token, if one ended it)."""


@dataclass(frozen=True)
class Transition:
    """One turn: what the policy saw, what it sampled with which log-probabilities, and what it got for it."""

    observation: Observation
    action: Completion
    reward: float
    metrics: Metrics


@dataclass(frozen=True)
class Trajectory:
    """The turns of one episode, in order. `cut` says which bound ended it, if one did.

    There is at least one turn, except for the seat of a game that was over before the seat had any: this trains
    nothing, and keeps its place and its group reward.
    """

    transitions: Sequence[Transition]
    cut: Cut | None = None

    @property
    def reward(self) -> float:
        """The sum of the rewards of its turns."""
        return sum(transition.reward for transition in self.transitions)

    @property
    def num_action_tokens(self) -> int:
        """How many tokens the policy sampled."""
        return sum(len(transition.action.tokens) for transition in self.transitions)


@dataclass(frozen=True)
class GroupReward:
    """What one member of a group gets on top of its own turns' rewards, seen beside the other members."""

    reward: float = 0.0
    metrics: Metrics = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class TrajectoryGroup:
    """The trajectories of one group with their group rewards, aligned, and the tags its metrics are filed under."""

    trajectories_G: Sequence[Trajectory]
    group_rewards_G: Sequence[GroupReward]
    tags: Sequence[str] = ()

    @property
    def rewards_G(self) -> list[float]:
        """Total reward of each member: its turns' rewards plus its group reward."""
        return [
            trajectory.reward + group_reward.reward
            for trajectory, group_reward in zip(self.trajectories_G, self.group_rewards_G, strict=True)
        ]


@dataclass(frozen=True)
class GroupResult:
    """What became of a group: its trajectories, or None where too few members came through; and what went wrong.

    `failures` holds the messages of all failures, of members and of the group, in all attempts; `num_retries`
    counts the times that the group was played again, `num_members_left_out` the members missing from `group`.
    """

    group: TrajectoryGroup | None
    failures: Sequence[str] = ()
    num_retries: int = 0
    num_members_left_out: int = 0

    @property
    def num_failures(self) -> int:
        """How much went wrong, whatever came of it."""
        return len(self.failures)


@chz.chz
class EnvGroupBuilder(ABC):
    """Makes the envs of one group: several attempts at one problem, or the seats of one game. Must pickle."""

    @abstractmethod
    async def make_envs(self) -> Sequence[Env]:
        """Fresh envs, one per member of the group."""

    async def compute_group_rewards(
        self, trajectories_G: Sequence[Trajectory], envs_G: Sequence[Env]
    ) -> Sequence[GroupReward]:
        """Rewards that need the whole group at once, such as comparisons; nothing by default."""
        del envs_G
        return [GroupReward()] * len(trajectories_G)

    async def cleanup(self) -> None:
        """Release what the group holds (containers, connections). Called once, also after a failure."""
        return

    @property
    def members_interact(self) -> bool:
        """Whether members wait for each other, as the seats of a game do: then they fail together, and none may
        be kept back until all have started.
        """
        return False

    def logging_tags(self) -> Sequence[str]:
        """Names under which this group's metrics are averaged, beside `all`: `env/<tag>/…`."""
        return ()


class RLDataset(ABC):
    """A sequence of batches. Batch `i` is a pure function of `i`, so that a resumed run sees the same problems."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of batches."""

    @abstractmethod
    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        """The groups of batch `index`, 0 ≤ index < len(self)."""


@dataclass(frozen=True)
class RLDatasets:
    """Problems to train on and, where there are any, problems held out from training."""

    train: RLDataset
    test: RLDataset | None


@dataclass(frozen=True)
class RLSetup:
    """What a dataset has to know of the run that it is built for."""

    model: ModelConfig
    groups_per_batch: int
    group_size: int
    seed: int
    service: RunService = field(default_factory=RunService, compare=False)


@chz.chz
class RLDatasetBuilder(ABC):
    """Configuration of a task: what the `env` group of a config holds."""

    @abstractmethod
    def __call__(self, setup: RLSetup) -> RLDatasets:
        """Build the datasets of a run."""
