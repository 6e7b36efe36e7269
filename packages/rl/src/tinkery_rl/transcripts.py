"""What rollouts.jsonl holds: each episode as the policy saw and wrote it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinkery_rl.sampling import SampledGroup
    from tinkery_rl.types import Trajectory

Decode = Callable[[list[int]], str]


def transcripts(step: int, groups: Sequence[SampledGroup], decode: Decode) -> list[dict[str, object]]:
    """One record a member: step, group, member, messages, rewards, metrics, why each action stopped, and the cut.

    `group` is the group's place in its step, `policy_age` the number of steps that its policy was behind.
    """
    return [
        {
            "step": step,
            "group": sampled.place,
            "member": g,
            "policy_age": step - sampled.version,
            "tags": list(group.tags),
            "messages": messages(trajectory, decode),
            "reward": reward,
            "rewards": [transition.reward for transition in trajectory.transitions],
            "metrics": [dict(transition.metrics) for transition in trajectory.transitions],
            "stop_reasons": [transition.action.stop_reason for transition in trajectory.transitions],
            "cut": trajectory.cut,
        }
        for sampled in groups
        if (group := sampled.result.group) is not None
        for g, (trajectory, reward) in enumerate(zip(group.trajectories_G, group.rewards_G, strict=True))
    ]


def messages(trajectory: Trajectory, decode: Decode) -> list[dict[str, str]]:
    """The episode in turns, special tokens included: what the env added since the last turn, what the policy wrote."""
    turns: list[dict[str, str]] = []
    seen: list[int] = []
    for transition in trajectory.transitions:
        observed = transition.observation.tokens
        new = observed[len(seen) :] if observed[: len(seen)] == seen else observed
        turns.append({"role": "environment", "content": decode(new)})
        turns.append({"role": "policy", "content": decode(transition.action.tokens)})
        seen = observed + transition.action.tokens
    return turns
