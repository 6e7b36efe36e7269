"""What `tinkery check-env` sees in the recordings of groups that were played: pure checks."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence, Sized
from itertools import pairwise
from typing import TYPE_CHECKING

from tinkery_rl.check_env.calls import CALLS
from tinkery_rl.check_env.play import ENDS, MAKE_ENVS, Bounds, Recording
from tinkery_rl.check_env.report import IN_TIME, CheckFailed, Finding
from tinkery_rl.types import EnvGroupBuilder, GroupReward, Observation, Transition

if TYPE_CHECKING:
    from tinkery_core.chat import Chat

OBSERVATION, EXTENSION, FINITE = "first observation", "token extension", "finite rewards"
REWARD_BOUNDS, GROUP_REWARDS, LOOP = "reward bounds", "group rewards", "event loop"

UNKNOWN_CONTEXT = 10**9
"""Tokenizers that don't know the length of the context name a greater number."""


def vocab_size(chat: Chat) -> int:
    """How many tokens the model's tokenizer has."""
    assert isinstance(chat.tokenizer, Sized)
    return len(chat.tokenizer)


def context_length(chat: Chat) -> int:
    """How many tokens the model can read."""
    length: object = getattr(chat.tokenizer, "model_max_length", UNKNOWN_CONTEXT)
    return length if isinstance(length, int) else UNKNOWN_CONTEXT


def how_it_went(recordings: Sequence[Recording]) -> Generator[Finding]:
    """Whether the groups could be played to their ends. What was not reached is skipped."""
    trouble = next((recording.trouble for recording in recordings if recording.trouble is not None), None)
    num_episodes = sum(len(recording.ended_G) for recording in recordings)
    num_turns = sum(len(turns) for _, turns in _episodes(recordings))
    reasons = {
        MAKE_ENVS: f"{num_episodes} envs",
        CALLS: "no call raised",
        IN_TIME: "each call came back in time",
        ENDS: f"{num_turns} turns in {num_episodes} episodes against random tokens",
    }
    for check, reason in reasons.items():
        if trouble is None or (check == MAKE_ENVS and trouble.finding.check != MAKE_ENVS):
            yield Finding(check, "pass", reason)
        elif check == trouble.finding.check:
            yield trouble.finding
        else:
            yield Finding(check, "skip", "the groups could not be played to their ends")


def observations(recordings: Sequence[Recording], chat: Chat) -> str:
    """Every observation has tokens, all of them in the vocabulary, and the first leaves room in the context."""
    size, context = vocab_size(chat), context_length(chat)
    longest = 0
    for place, observation in _first_observations(recordings):
        if len(observation.tokens) >= context:
            raise CheckFailed(
                OBSERVATION,
                f"{place}: {len(observation.tokens)} tokens leave no room to answer in a context of {context}",
                "shorten the prompt, or choose a model with a longer context: --model",
            )
        longest = max(longest, len(observation.tokens))
    seen = [
        *_first_observations(recordings),
        *((place, turn.observation) for place, turns in _episodes(recordings) for turn in turns),
    ]
    for place, observation in seen:
        if not observation.tokens:
            raise CheckFailed(
                OBSERVATION,
                f"{place}: an observation has no tokens",
                "begin each prompt with at least one token",
            )
        strange = next((token for token in observation.tokens if not _is_token(token, size)), None)
        if strange is not None:
            raise CheckFailed(
                OBSERVATION,
                f"{place}: {strange!r} is not a token; those of this model are the integers 0 to {size - 1}",
                "render prompts with the chat of the model that the env is built for: model.load_chat()",
            )
    return f"at most {longest} tokens, all in the vocabulary of {size}"


def _is_token(token: object, size: int) -> bool:
    return isinstance(token, int) and not isinstance(token, bool) and 0 <= token < size


def extension(recordings: Sequence[Recording]) -> str | None:
    """Each observation begins with the one before and the action after that. None if no episode has two turns."""
    num_extended = 0
    for place, turns in _episodes(recordings):
        for turn, (before, after) in enumerate(pairwise(turns), start=1):
            said = before.observation.tokens + before.action.tokens
            if after.observation.tokens[: len(said)] != said:
                raise CheckFailed(
                    EXTENSION,
                    f"{place}, turn {turn}: the observation does not begin with the prompt and the action before it",
                    "extend the tokens with Chat.extend; an episode that is rendered anew trains as a datum a turn",
                )
            num_extended += 1
    return f"{num_extended} observations extend what was before them" if num_extended else None


def finite(recordings: Sequence[Recording]) -> str:
    """All rewards and metrics are finite numbers."""
    for place, turns in _episodes(recordings):
        for turn, transition in enumerate(turns):
            _demand_finite(f"{place}, turn {turn}", transition)
    for place, group_reward in _group_rewards(recordings):
        _demand_finite(f"{place}, group reward", group_reward)
    return "all rewards and metrics are finite"


def _demand_finite(place: str, given: Transition | GroupReward) -> None:
    for name, value in {"reward": given.reward, **given.metrics}.items():
        if not math.isfinite(value):
            raise CheckFailed(
                FINITE,
                f"{place}: {name} is {value}",
                "a run ends at such a number: give a finite one instead",
            )


def group_rewards(recordings: Sequence[Recording]) -> str:
    """As many group rewards as members."""
    for recording in recordings:
        given = recording.group_rewards_G or ()
        if len(given) != len(recording.envs_G):
            raise CheckFailed(
                GROUP_REWARDS,
                f"{recording.place}: compute_group_rewards gave {len(given)} rewards to "
                f"{len(recording.envs_G)} members",
                "return one GroupReward a trajectory, in their order",
            )
    return "one a member"


def reward_bounds(recordings: Sequence[Recording], builders: Sequence[EnvGroupBuilder]) -> str | None:
    """Each member's total reward is in the bounds that its env or its builder declares; None if none does."""
    num_bounded = 0
    for recording, builder in zip(recordings, builders, strict=True):
        for (place, group_reward), env, turns in zip(
            _group_rewards([recording]), recording.envs_G, recording.turns_G, strict=False
        ):
            bounds = _declared(env) or _declared(builder)
            if bounds is None:
                continue
            total = sum(turn.reward for turn in turns) + group_reward.reward
            num_bounded += 1
            if not bounds[0] <= total <= bounds[1] and math.isfinite(total):
                raise CheckFailed(
                    REWARD_BOUNDS,
                    f"{place}: the total reward is {total:g}, and reward_bounds is ({bounds[0]:g}, {bounds[1]:g})",
                    "correct the reward, or the bounds",
                )
    return f"{num_bounded} total rewards within them" if num_bounded else None


def _declared(owner: object) -> tuple[float, float] | None:
    bounds: tuple[float, float] | None = getattr(owner, "reward_bounds", None)
    return bounds


def responsive(recordings: Sequence[Recording], bounds: Bounds) -> Finding:
    """A warning if a call kept the event loop, and so everything else, waiting."""
    slowest = max(recordings, key=lambda recording: recording.longest_block_s)
    if slowest.longest_block_s <= bounds.block_s:
        return Finding(LOOP, "pass", f"no call kept it for more than {bounds.block_s:g} s at a stretch")
    return Finding(
        LOOP,
        "warn",
        f"{slowest.longest_call} kept it for {slowest.longest_block_s:.1f} s: all other episodes stood still",
        "await what waits, and do long computations in a process of their own",
    )


def difference(one: Recording, other: Recording) -> str | None:
    """Where two plays with equal actions differ first, or None if they don't."""
    if one.outcome == other.outcome:
        return None
    if len(one.turns_G) != len(other.turns_G):
        return f"{len(one.turns_G)} and {len(other.turns_G)} envs"
    for g, (turns, others) in enumerate(zip(one.turns_G, other.turns_G, strict=True)):
        for turn, (a, b) in enumerate(zip(turns, others, strict=False)):
            for name in ("observation", "reward", "metrics"):
                if repr(getattr(a, name)) != repr(getattr(b, name)):
                    return f"the {name} of member {g}, turn {turn}"
        if len(turns) != len(others):
            return f"the number of turns of member {g}: {len(turns)} and {len(others)}"
    return "the group rewards"


def _episodes(recordings: Sequence[Recording]) -> Iterator[tuple[str, Sequence[Transition]]]:
    for recording in recordings:
        for g, turns in enumerate(recording.turns_G):
            yield f"{recording.place}, member {g}", turns


def _first_observations(recordings: Sequence[Recording]) -> Iterator[tuple[str, Observation]]:
    for recording in recordings:
        for g, observation in enumerate(recording.first_G):
            if observation is not None:
                yield f"{recording.place}, member {g}", observation


def _group_rewards(recordings: Sequence[Recording]) -> Iterator[tuple[str, GroupReward]]:
    for recording in recordings:
        for g, group_reward in enumerate(recording.group_rewards_G or ()):
            yield f"{recording.place}, member {g}", group_reward
