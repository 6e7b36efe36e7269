"""The time that a training mode's dependencies allow: a simulation in which the client costs nothing.

The same clocks as in the stand-in service are asked in the order in which a perfect trainer would ask.
"""

from dataclasses import dataclass

from pace import PROMPT_TOKENS, Interval, Pace, SamplerClock, TrainerClock, completion_lengths


@dataclass(frozen=True)
class ModeShape:
    """A mode as its dependencies: batch `b` needs the policy of version `b - max_steps_off_policy`, and is trained
    on in `num_minibatches` passes, each as soon as its groups have ended.
    """

    max_steps_off_policy: int = 0
    num_minibatches: int = 1


@dataclass(frozen=True)
class Timeline:
    """When each version of the policy was there (the first at 0), and when which side worked."""

    snapshots: list[float]
    sampler: list[Interval]
    trainer: list[Interval]


def simulate(pace: Pace, mode: ModeShape, groups: int, group_size: int, steps: int) -> Timeline:
    """The timeline of a perfect trainer."""
    sampler, trainer = SamplerClock(pace), TrainerClock()
    snapshots = [0.0]
    size = -(-groups // mode.num_minibatches)
    for batch in range(steps):
        start = snapshots[max(0, batch - mode.max_steps_off_policy)]
        ended = sorted(
            (sampler.sample(start, lengths), sum(lengths))
            for lengths in (completion_lengths(pace, batch, group, group_size) for group in range(groups))
        )
        last = start
        for first in range(0, groups, size):
            minibatch = ended[first : first + size]
            num_tokens = sum(tokens for _, tokens in minibatch) + len(minibatch) * group_size * (
                PROMPT_TOKENS - 1
            )
            last = trainer.run(max(end for end, _ in minibatch), num_tokens * pace.train_token_s)
        snapshots.append(trainer.run(trainer.run(last, pace.optim_s), pace.snapshot_s))
    return Timeline(snapshots, sampler.busy, trainer.busy)
