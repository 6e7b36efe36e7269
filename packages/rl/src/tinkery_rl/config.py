"""The keys that every reinforcement-learning script shares."""

from __future__ import annotations

import chz
from tinkery_core.config.checks import at_least, more_than
from tinkery_core.optimizer import OptimizerConfig
from tinkery_core.script import ScriptConfig

from tinkery_rl.algorithm import Algorithm
from tinkery_rl.guard import Guard
from tinkery_rl.losses import PPO, ImportanceSampling, Loss
from tinkery_rl.modes import Mode, Streamed
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.types import RLDatasetBuilder, RLSetup


@chz.chz
class RLConfig(ScriptConfig):
    """Config of an RL script: a task, an algorithm, a mode, and the sizes of a step."""

    env: RLDatasetBuilder = chz.field(doc="the task: environments to train on and to test on")
    algorithm: Algorithm = chz.field(doc="from rewards to a loss")
    mode: Mode = chz.field(doc="which trajectories enter which step")
    optimizer: OptimizerConfig = chz.field(default_factory=OptimizerConfig, doc="Adam and its schedule")
    rollouts: RolloutConfig = chz.field(
        default_factory=RolloutConfig, doc="bounds on rollouts, and what happens when one fails"
    )
    guard: Guard = chz.field(default_factory=Guard, doc="what happens when sampler and trainer disagree")
    learning_rate: float = chz.field(
        default=1e-4, validator=more_than(0), doc="peak learning rate of the LoRA adapter"
    )
    groups_per_batch: int = chz.field(default=16, validator=at_least(1), doc="problems of one step")
    group_size: int = chz.field(default=16, validator=at_least(1), doc="attempts at each problem")
    num_substeps: int = chz.field(
        default=1, validator=at_least(1), doc="optimizer steps that a batch is split into"
    )
    max_tokens: int = chz.field(
        default=256, validator=at_least(1), doc="tokens that the policy may sample in one turn"
    )
    temperature: float = chz.field(
        default=1.0, validator=more_than(0), doc="sampling temperature, in training and test"
    )
    num_groups_to_log: int = chz.field(
        default=4, validator=at_least(0), doc="groups a step in rollouts.jsonl"
    )

    @chz.validate
    def _substeps_fit_the_batch(self) -> None:
        if self.num_substeps > self.groups_per_batch:
            raise ValueError(
                f"num_substeps={self.num_substeps} is more than groups_per_batch={self.groups_per_batch}, "
                "and each optimizer step needs at least one group: lower num_substeps, or raise that"
            )

    @chz.validate
    def _groups_are_large_enough(self) -> None:
        if self.group_size == 1 and self.algorithm.baseline in ("group_mean", "leave_one_out"):
            raise ValueError(
                f"group_size=1 leaves algorithm.baseline={self.algorithm.baseline} nothing to compare with, "
                "so every advantage would be zero: raise group_size, or choose algorithm=reinforce"
            )

    @chz.validate
    def _streams_need_no_whole_batch(self) -> None:
        if not isinstance(self.mode, Streamed):
            return
        if self.algorithm.over_the_batch is not None:
            raise ValueError(
                f"mode=streamed trains on a minibatch before the rest of its batch is known, and "
                f"algorithm.{self.algorithm.over_the_batch} needs the whole batch: choose mode=on_policy, or an "
                "algorithm over groups, such as grpo or rloo"
            )
        if self.num_substeps > 1:
            raise ValueError(
                f"mode=streamed takes one optimizer step a batch, so num_substeps={self.num_substeps} cannot be: "
                "choose mode=on_policy, or num_substeps=1"
            )
        if self.mode.num_minibatches > self.groups_per_batch:
            raise ValueError(
                f"mode.num_minibatches={self.mode.num_minibatches} is more than "
                f"groups_per_batch={self.groups_per_batch}, and each minibatch needs at least one group"
            )

    @chz.validate
    def _warm_up_ends(self) -> None:
        if self.max_steps is not None and self.optimizer.warmup_steps >= self.max_steps:
            raise ValueError(
                f"optimizer.warmup_steps={self.optimizer.warmup_steps} leaves none of max_steps={self.max_steps} "
                "to train at the full learning_rate: lower warmup_steps"
            )

    @property
    def loss(self) -> Loss:
        """The algorithm's loss, or the one that fits where it names none.

        Importance sampling has no bound: where the policy that samples is not the one that trains, a few large
        ratios would rule the gradient, so there the clipped loss is used.
        """
        if self.algorithm.loss is not None:
            return self.algorithm.loss
        on_policy = not self.mode.is_off_policy and self.num_substeps == 1
        return ImportanceSampling() if on_policy else PPO()

    @property
    def batches_per_step(self) -> int:
        """How many batches of the dataset belong to one step."""
        dynamic = self.algorithm.dynamic_sampling
        return 1 if dynamic is None else dynamic.max_batches

    @property
    def setup(self) -> RLSetup:
        """What the dataset has to know of this run."""
        return RLSetup(self.model, self.groups_per_batch, self.group_size, self.seed)
