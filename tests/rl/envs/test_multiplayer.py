"""Games: turns are handed on, tokens are extended, nobody is left waiting, and a zero-sum game trains."""

import asyncio
import pickle
from collections.abc import Awaitable, Callable

import anyio
import chz
import pytest
from tinkery_core.completers import Completion, Stop, TokenCompleter
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig
from tinkery_core.run import open_run
from tinkery_rl.algorithm import Algorithm
from tinkery_rl.config import RLConfig
from tinkery_rl.datums import split_sequences
from tinkery_rl.envs.multiplayer import (
    Game,
    GameBuilder,
    GameGroupBuilder,
    Match,
    Move,
    Seat,
    SeatLeft,
    SelfPlayBuilder,
)
from tinkery_rl.envs.nim import Nim, NimGame
from tinkery_rl.rollout_config import RolloutConfig
from tinkery_rl.rollouts import RolloutError, play_group
from tinkery_rl.train import train
from tinkery_rl.types import EnvGroupBuilder, RLSetup, TrajectoryGroup

Configure = Callable[..., RLConfig]
Train = Callable[[RLConfig], Awaitable[list[dict[str, float]]]]

TINY = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3")


def nim(num_sticks: int, *, say_rules: bool = False) -> GameGroupBuilder:
    heap = Nim(fewest_sticks=num_sticks, most_sticks=num_sticks, say_rules=say_rules)
    return GameGroupBuilder(game=heap, model=TINY)


def saying(*moves: str | Exception) -> TokenCompleter:
    """A policy whose moves, over all seats, are these in turn; `…` is cut off by the token limit."""
    chat = TINY.load_chat()
    rest = list(moves)

    async def policy(prompt: list[int], stop: Stop | None = None) -> Completion:
        await asyncio.sleep(0)
        move = rest.pop(0)
        if isinstance(move, Exception):
            raise move
        is_cut_off = move.endswith("…")
        tokens = chat.encode(move.rstrip("…")) + ([] if is_cut_off else chat.stop_tokens[:1])
        return Completion(tokens, [-1.0] * len(tokens), "length" if is_cut_off else "stop")

    return policy


async def played(
    builder: EnvGroupBuilder, *moves: str | Exception, limits: RolloutConfig | None = None
) -> TrajectoryGroup:
    with anyio.fail_after(60):
        group = (await play_group(builder, saying(*moves), "here", limits or RolloutConfig())).group
    assert group is not None
    return group


async def test_the_turn_goes_from_seat_to_seat_and_both_get_their_result() -> None:
    group = await played(nim(6), "1", "2", "2", "1")
    first, second = group.trajectories_G
    assert [texts(group, seat) for seat in (0, 1)] == [["1", "2"], ["2", "1"]]
    assert group.rewards_G == [-1, 1]
    assert [first.reward, second.reward] == [0, 0]
    assert [dict(t.metrics) for t in first.transitions] == [{"legal": 1}, {"legal": 1}]
    assert group.group_rewards_G[1].metrics == {"finished": 1, "reward/seat_1": 1}


def texts(group: TrajectoryGroup, seat: int) -> list[str]:
    chat = TINY.load_chat()
    return [chat.parse(turn.action.tokens) for turn in group.trajectories_G[seat].transitions]


async def test_a_seat_reads_what_is_new_and_its_tokens_are_extended() -> None:
    group = await played(nim(6, say_rules=True), "1", "2", "2", "1")
    chat = TINY.load_chat()
    for trajectory in group.trajectories_G:
        (sequence,) = split_sequences(trajectory)
        first, second = trajectory.transitions
        before = first.observation.tokens + first.action.tokens
        assert second.observation.tokens[: len(before)] == before
        assert sequence.tokens_T == second.observation.tokens + second.action.tokens
    read = chat.decode(group.trajectories_G[1].transitions[1].observation.tokens)
    assert read.count("Nim: take 1 to 3 sticks; who takes the last one wins.") == 1
    assert "How many: I I I I I<" in read and "How many: I<" in read


@pytest.mark.parametrize("move", ["7", "I am not sure.", "", "1…", "0", "-1", "²", "11"])
async def test_an_illegal_move_loses(move: str) -> None:
    group = await played(nim(6), "1", move)
    assert group.rewards_G == [1, -1]
    assert group.trajectories_G[1].transitions[0].metrics == {"legal": 0}


async def test_a_seat_without_a_turn_keeps_its_place_and_its_result_and_trains_nothing() -> None:
    group = await played(nim(6), "nonsense")
    assert [len(trajectory.transitions) for trajectory in group.trajectories_G] == [1, 0]
    assert group.rewards_G == [-1, 1]
    assert [s.sampled_T.sum() for s in split_sequences(group.trajectories_G[1])] == [0]


@pytest.mark.parametrize("turn", range(4))
async def test_a_policy_that_fails_at_any_turn_ends_the_game(turn: int) -> None:
    moves = [*["1"] * turn, ConnectionError("lost")]
    with pytest.raises(ConnectionError, match="lost"):
        await played(nim(6), *moves)


class Breaking(NimGame):
    """Raises at a turn, when the seat's observation is asked for or when its move is played."""

    def __init__(self, method: str, turn: int) -> None:
        super().__init__(num_sticks=7, most=3)
        self.method, self.turn = method, turn

    def observe(self, seat: int) -> str:
        if (self.method, self.turn) == ("observe", self.num_moves):
            raise OSError("torn rulebook")
        return super().observe(seat)

    def apply(self, seat: int, text: str | None) -> Move:
        if (self.method, self.turn) == ("apply", self.num_moves):
            raise OSError("torn rulebook")
        return super().apply(seat, text)


@chz.chz
class BreakingBuilder(GameBuilder):
    method: str
    turn: int

    @property
    def num_seats(self) -> int:
        return 2

    def __call__(self, seed: int) -> Game:
        return Breaking(self.method, self.turn)


@pytest.mark.parametrize("method", ["observe", "apply"])
@pytest.mark.parametrize("turn", range(4))
async def test_a_game_that_raises_at_any_turn_ends_both_seats_and_names_the_one(
    method: str, turn: int
) -> None:
    builder = GameGroupBuilder(game=BreakingBuilder(method=method, turn=turn), model=TINY)
    call = "initial_observation" if method == "observe" and turn < 2 else "step"
    with pytest.raises(
        RolloutError, match=rf"^here, member {turn % 2}.*Seat.{call} raised OSError: torn rulebook$"
    ):
        await played(builder, *["1"] * 4)


async def test_a_seat_whose_move_fails_wakes_the_one_that_waits() -> None:
    """The seats alone, with nobody around who would end one because of the other."""
    match = Match(Breaking("apply", 0), 2)
    first, second = [Seat(match, seat, TINY.load_chat()) for seat in (0, 1)]
    with anyio.fail_after(60):
        prompt = (await first.initial_observation()).tokens
        waiting = asyncio.create_task(second.initial_observation())
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="torn rulebook"):
            await first.step(await saying("1")(prompt))
        with pytest.raises(SeatLeft, match=r"^seat 0 left the game: OSError: torn rulebook$"):
            await waiting


async def test_a_cancelled_seat_wakes_the_one_that_waits_beside_it() -> None:
    match = Match(NimGame(6, 3), 3)
    waiting = [
        asyncio.create_task(Seat(match, seat, TINY.load_chat()).initial_observation()) for seat in (1, 2)
    ]
    with anyio.fail_after(60):
        await asyncio.sleep(0)
        waiting[0].cancel()
        with pytest.raises(SeatLeft, match=r"^seat 1 left the game: CancelledError: $"):
            await waiting[1]


async def test_a_turn_of_nobody_is_an_error() -> None:
    class ThreeHanded(Breaking):
        @property
        def to_move(self) -> int:
            return self.num_moves

    @chz.chz
    class Builder(BreakingBuilder):
        def __call__(self, seed: int) -> Game:
            return ThreeHanded("never", 0)

    with pytest.raises(
        RolloutError, match=r"ValueError: it is the turn of seat 2, and the seats are 0 to 1$"
    ):
        await played(GameGroupBuilder(game=Builder(method="never", turn=0), model=TINY), "1", "1", "1")


async def test_a_game_that_a_bound_cut_short_has_no_result() -> None:
    group = await played(nim(7), *["1"] * 7, limits=RolloutConfig(max_turns=2))
    assert group.rewards_G == [0, 0]
    assert [trajectory.cut for trajectory in group.trajectories_G] == ["turns", "turns"]
    assert [reward.metrics for reward in group.group_rewards_G] == [{"finished": 0}] * 2


def setup(seed: int = 0, group_size: int = 2) -> RLSetup:
    return RLSetup(TINY, groups_per_batch=3, group_size=group_size, seed=seed)


def test_games_of_a_batch_follow_from_seed_and_index() -> None:
    def seeds(index: int, seed: int = 0) -> list[int]:
        batch = SelfPlayBuilder(game=Nim())(setup(seed)).train.get_batch(index)
        return [builder.seed for builder in batch if isinstance(builder, GameGroupBuilder)]

    assert seeds(1) == seeds(1)
    assert len({*seeds(0), *seeds(1), *seeds(0, seed=1)}) == 9
    tests = [SelfPlayBuilder(game=Nim(), num_test_games=5)(setup(seed)).test for seed in (0, 1)]
    assert tests[0] is not None and tests[1] is not None
    assert len(tests[0].get_batch(0)) == 5
    assert tests[0].get_batch(0) == tests[1].get_batch(0)


def test_a_group_is_one_game() -> None:
    with pytest.raises(
        UserError, match=r"^group_size=8: a group is one game of Nim, which has 2 seats. Type group_size=2$"
    ):
        SelfPlayBuilder(game=Nim())(setup(group_size=8))
    with pytest.raises(ValueError, match=r"^fewest_sticks=9 is more than most_sticks=7$"):
        Nim(fewest_sticks=9)


def test_groups_pickle() -> None:
    assert pickle.loads(pickle.dumps(nim(5))) == nim(5)


def self_play(configure: Configure, **changes: object) -> RLConfig:
    algorithm = Algorithm(baseline="seat_mean", scale="none", length_normalisation="per_token")
    game = SelfPlayBuilder(game=Nim(say_rules=False), num_test_games=4)
    return configure(
        **{"env": game, "algorithm": algorithm, "group_size": 2, "groups_per_batch": 16, **changes}
    )


async def test_a_zero_sum_game_trains_by_the_mean_of_each_seat(configure: Configure, trained: Train) -> None:
    lines = await trained(self_play(configure, max_steps=2))
    assert [line["step"] for line in lines] == [0, 1, 2]
    for line in lines[:-1]:
        assert line["env/all/reward/total"] == 0
        assert line["env/all/reward/seat_0"] == -line["env/all/reward/seat_1"]
        assert line["env/all/finished"] == 1
        assert 0 < line["env/all/legal"] < 1
        assert 16 < line["optim/num_datums"] <= line["env/all/total_episodes"] == 32
        assert line["optim/num_tokens"] == line["env/all/total_ac_tokens"]
    # One datum a seat, and none for a seat whose opponent's first move was illegal.
    assert lines[0]["optim/num_datums"] < 32
    assert "test/env/all/reward/seat_0" in lines[-1]


async def test_a_dry_run_of_a_game_shows_the_first_seat_s_prompts(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    config = self_play(configure, dry_run=True)
    with anyio.fail_after(60), open_run(config) as run:
        await train(config, run)
    assert "How many: I I I" in capsys.readouterr().out
