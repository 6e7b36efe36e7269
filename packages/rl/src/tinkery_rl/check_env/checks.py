"""The checks of `tinkery check-env` in their order, those that play a group more than once among them."""

from __future__ import annotations

import pickle
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from functools import partial

from tinkery_rl.check_env import looks
from tinkery_rl.check_env.calls import Announce
from tinkery_rl.check_env.play import Bounds, Player, Recording
from tinkery_rl.check_env.report import CheckFailed, Finding
from tinkery_rl.check_env.script import Script
from tinkery_rl.check_env.target import CONFIG, DATASET, Group, Subject
from tinkery_rl.types import EnvGroupBuilder, RLDataset

SEEDS, DETERMINISM, FRESH, PICKLE, CLEANUP = "seeds", "determinism", "fresh envs", "pickle", "cleanup"

NOT_PLAYED = "the groups could not be played to their ends"
NOT_STARTED = "the groups have no first observations"
NEEDS_SERVICE = "a model takes part in them, and a check connects to no service"


async def check(subject: Subject, bounds: Bounds, announce: Announce) -> AsyncGenerator[Finding]:
    """The findings, one by one. A group that cannot be played leaves some checks nothing to look at: skipped."""
    announce("building it")
    try:
        groups = subject.groups()
    except CheckFailed as failure:
        yield failure.finding
        return
    yield Finding(CONFIG, "pass", f"{subject.cls.__name__}: {', '.join(group.place for group in groups)}")
    chat = subject.chat()
    player = Player(Script(chat, looks.vocab_size(chat), bounds.says), bounds, announce)
    played = await player.play_all({group.place: group.builder for group in groups})
    is_played = all(recording.trouble is None for recording in played)
    is_started = all(any(first is not None for first in recording.first_G) for recording in played)

    for finding in looks.how_it_went(played):
        yield finding
    yield look(looks.OBSERVATION, partial(looks.observations, played, chat), is_started, NOT_STARTED)
    nothing = "no episode has a second turn" if is_played else NOT_PLAYED
    yield look(looks.EXTENSION, partial(looks.extension, played), nothing=nothing)
    yield look(looks.FINITE, partial(looks.finite, played), is_started, NOT_STARTED)
    is_graded = is_played and not any(recording.needs_service for recording in played)
    not_graded = NEEDS_SERVICE if is_played else NOT_PLAYED
    yield look(looks.GROUP_REWARDS, partial(looks.group_rewards, played), is_graded, not_graded)
    yield look(
        looks.REWARD_BOUNDS,
        partial(looks.reward_bounds, played, [group.builder for group in groups]),
        is_graded,
        not_graded,
        nothing="none are declared: reward_bounds = (low, high) on the env or its group builder would be",
    )
    yield await replay(DETERMINISM, partial(deterministic, subject, player, played), is_played, NOT_PLAYED)
    yield await replay(FRESH, partial(fresh, player, groups, played), is_played, NOT_PLAYED)
    yield await replay(PICKLE, partial(pickles, player, groups), is_started, NOT_STARTED)
    yield await replay(CLEANUP, partial(cleans_up, subject, player, played), is_started, NOT_STARTED)
    yield await replay(
        DATASET, partial(pure, subject, player), subject.is_dataset and is_started, _why_no_dataset(subject)
    )
    if subject.is_dataset and is_started:
        yield await seeds_differ(subject, player)
    yield looks.responsive(played, bounds)


def _why_no_dataset(subject: Subject) -> str:
    return NOT_STARTED if subject.is_dataset else "it builds a group, not datasets"


def look(
    name: str,
    function: Callable[[], str | None],
    is_possible: bool = True,
    why_not: str = "",
    nothing: str = "",
) -> Finding:
    """The finding of a pure check; `nothing` is why one that returns None had nothing to look at."""
    if not is_possible:
        return Finding(name, "skip", why_not)
    try:
        reason = function()
    except CheckFailed as failure:
        return failure.finding
    return Finding(name, "skip", nothing) if reason is None else Finding(name, "pass", reason)


async def replay(
    name: str, check: Callable[[], Coroutine[object, object, str]], is_possible: bool, why_not: str
) -> Finding:
    """The finding of a check that builds or plays groups again."""
    if not is_possible:
        return Finding(name, "skip", why_not)
    try:
        return Finding(name, "pass", await check())
    except CheckFailed as failure:
        return Finding(name, "fail", failure.finding.reason, failure.finding.advice)


async def deterministic(subject: Subject, player: Player, played: Sequence[Recording]) -> str:
    """Two builds of one config give equal observations, rewards and metrics for equal actions."""
    player.announce("building it again")
    for group, before in zip(subject.groups(), played, strict=False):
        again = await player.play(group.builder, group.place)
        what = looks.difference(before, again)
        if what is not None:
            raise CheckFailed(
                DETERMINISM,
                f"{group.place}: built again from the same config, {what} came out differently for equal actions",
                "draw chance from a seed that the config or the dataset gives, so that a run can be repeated",
            )
    return "two builds of one config come out alike"


async def fresh(player: Player, groups: Sequence[Group], played: Sequence[Recording]) -> str:
    """A builder that has been played makes other envs, which start from the beginning."""
    for group, before in zip(groups, played, strict=True):
        again = await player.play(group.builder, group.place)
        envs = [*before.envs_G, *again.envs_G]
        if len({id(env) for env in envs}) < len(envs):
            raise CheckFailed(
                FRESH,
                f"{group.place}: make_envs gave the same env twice",
                "make new envs in each call: an env is for one episode",
            )
        what = looks.difference(before, again)
        if what is not None:
            raise CheckFailed(
                FRESH,
                f"{group.place}: played a second time, {what} came out differently",
                "keep what an episode changes in its env, not in the builder, its class or its module",
            )
    return "a group that is played again comes out alike"


async def pickles(player: Player, groups: Sequence[Group]) -> str:
    """What a builder is unpickled to makes envs with the same first observations."""
    for group in groups:
        player.announce(f"{group.place}: pickle")
        try:
            copy: EnvGroupBuilder = pickle.loads(pickle.dumps(group.builder))
        except Exception as error:
            raise CheckFailed(
                PICKLE,
                f"{group.place}: {type(group.builder).__name__} does not pickle: {type(error).__name__}: {error}",
                "hold data in the builder, and open files, clients and locks in make_envs",
            ) from error
        if await _opening(player, copy, group.place) != await _opening(player, group.builder, group.place):
            raise CheckFailed(
                PICKLE,
                f"{group.place}: unpickled, {type(group.builder).__name__} has other first observations",
                "let all that the envs depend on be a field of the builder",
            )
    return "unpickled builders make equal envs"


async def cleans_up(subject: Subject, player: Player, played: Sequence[Recording]) -> str:
    """`cleanup` succeeds after a whole group, after one that was given up, and after one that never started."""
    player.announce("building it again")
    given_up = [
        await player.play(group.builder, f"{group.place} given up", first_only=True)
        for group in subject.groups()
    ]
    unused = [
        await player.clean_up(group.builder, f"{group.place} before make_envs") for group in subject.groups()
    ]
    for trouble in [*(recording.cleanup_trouble for recording in [*played, *given_up]), *unused]:
        if trouble is not None:
            raise CheckFailed(
                CLEANUP,
                trouble.finding.reason,
                "cleanup comes after every group, wherever that ended: release only what there is",
            )
    return "after a whole group, one given up, and one that never started"


async def pure(subject: Subject, player: Player) -> str:
    """A batch is the same whenever and in whatever order it is asked for, and there are as many as `len` says."""
    player.announce("get_batch")
    one, other = subject.datasets(), subject.datasets()
    advice = "derive all of a batch from its index and the seed: a resumed run asks for batches out of order"
    for name, dataset in {"train": one.train, "test": one.test}.items():
        if dataset is not None:
            _batch(dataset, len(dataset) - 1, name)
    second = min(1, len(one.train) - 1)
    before = {i: await _signature(player, _batch(one.train, i, "train")) for i in (0, second)}
    if await _signature(player, _batch(one.train, 0, "train")) != before[0]:
        raise CheckFailed(DATASET, "train: get_batch(0) gave something else the second time", advice)
    for i in (second, 0):
        if await _signature(player, _batch(other.train, i, "train")) != before[i]:
            raise CheckFailed(
                DATASET, f"train: get_batch({i}) depends on which batch was asked for before", advice
            )
    return f"{len(one.train)} batches to train on, each a function of its index"


async def seeds_differ(subject: Subject, player: Player) -> Finding:
    """A warning if another seed gives the same problems."""
    player.announce("building it with another seed")
    seed = subject.setup.seed
    one, other = subject.datasets(), subject.datasets(seed=seed + 1)
    if await _signature(player, one.train.get_batch(0)) != await _signature(player, other.train.get_batch(0)):
        return Finding(SEEDS, "pass", f"seeds {seed} and {seed + 1} begin with other problems")
    return Finding(
        SEEDS,
        "warn",
        f"seeds {seed} and {seed + 1} begin with the same problems",
        "draw or shuffle by RLSetup.seed, unless all runs are to see one order",
    )


def _batch(dataset: RLDataset, index: int, name: str) -> Sequence[EnvGroupBuilder]:
    try:
        batch = dataset.get_batch(index)
    except Exception as error:
        raise CheckFailed(
            DATASET,
            f"{name}: len is {len(dataset)}, and get_batch({index}) raised {type(error).__name__}: {error}",
            "let len be the number of batches, counted from 0",
        ) from error
    if not batch:
        raise CheckFailed(
            DATASET, f"{name}: get_batch({index}) is empty", "give each batch at least one group"
        )
    return batch


async def _signature(player: Player, batch: Sequence[EnvGroupBuilder]) -> list[str]:
    """What tells two batches apart: first observations of the first groups, and how many groups there are."""
    return [str(len(batch)), *[await _opening(player, builder, "a group") for builder in batch[:2]]]


async def _opening(player: Player, builder: EnvGroupBuilder, place: str) -> str:
    """First observations, as text. Raises CheckFailed if there are none."""
    recording = await player.play(builder, place, first_only=True)
    if recording.trouble is not None:
        raise recording.trouble
    return repr(recording.first_G)
