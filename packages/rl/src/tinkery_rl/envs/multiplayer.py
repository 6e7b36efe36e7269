"""Games: the members of a group are the seats of one game, which hands the turn from one to the next.

Each seat is an env, and so one trajectory and one datum. `step` plays a seat's move and waits until it is that
seat's turn again or the game is over; what ends one seat's episode by an error ends the others' too.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import chz
from tinkery_core.config.checks import at_least
from tinkery_core.errors import UserError
from tinkery_core.model import ModelConfig

from tinkery_rl.types import (
    Env,
    EnvGroupBuilder,
    GroupReward,
    Metrics,
    NoTurn,
    Observation,
    RLDataset,
    RLDatasetBuilder,
    RLDatasets,
    RLSetup,
    StepResult,
    Trajectory,
)

if TYPE_CHECKING:
    from tinkery_core.chat import Chat
    from tinkery_core.completers import Completion


@dataclass(frozen=True)
class Move:
    """What a move brings its seat at once; what the game brings comes at its end."""

    reward: float = 0.0
    metrics: Metrics = field(default_factory=dict[str, float])


class Game(ABC):
    """One game in play: its rules on the level of text, and its state. Seats are numbered from 0."""

    @property
    @abstractmethod
    def to_move(self) -> int | None:
        """The seat whose turn it is, which may be the one that just moved; None when the game is over.

        Where all move at once, let them move one after the other, and show what they did once all have.
        """

    @abstractmethod
    def observe(self, seat: int) -> str:
        """What the seat reads before its move: what is new since its last one; at its first, the rules too.

        Asked once before each move.
        """

    @abstractmethod
    def apply(self, seat: int, text: str | None) -> Move:
        """Play a move; None is one that the token limit cut off.

        What an illegal move costs is up to the game: the turn, a penalty, or the game.
        """

    @abstractmethod
    def results(self) -> Sequence[GroupReward]:
        """What each seat gets when the game is over, also one that never had a turn."""


@chz.chz
class GameBuilder(ABC):
    """Configuration of a game."""

    @property
    @abstractmethod
    def num_seats(self) -> int:
        """How many play."""

    @abstractmethod
    def __call__(self, seed: int) -> Game:
        """A game at its beginning; what is drawn by chance follows from the seed."""


class SeatLeft(Exception):
    """Another seat of the game failed or was cancelled, so that this one's turn would never come."""


class Match:
    """A game and the seats that wait for their turns."""

    def __init__(self, game: Game, num_seats: int) -> None:
        self.game = game
        self.num_seats = num_seats
        self._changed = asyncio.Event()
        self._end: SeatLeft | None = None

    async def turn(self, seat: int) -> bool:
        """Wait until it is the seat's turn, or the game is over: then False. Raises SeatLeft if neither can be."""
        while self._end is None:
            to_move = self.game.to_move
            if to_move is None or to_move == seat:
                return to_move == seat
            if not 0 <= to_move < self.num_seats:
                raise ValueError(
                    f"it is the turn of seat {to_move}, and the seats are 0 to {self.num_seats - 1}"
                )
            await self._changed.wait()
        raise self._end

    def play(self, seat: int, text: str | None) -> Move:
        """Play a move, and let the seat move next whose turn it is."""
        move = self.game.apply(seat, text)
        self._wake()
        return move

    @contextmanager
    def attended_by(self, seat: int) -> Generator[None]:
        """Whatever ends the body with an error ends the waiting of all seats."""
        try:
            yield
        except BaseException as error:
            if self._end is None:
                self._end = SeatLeft(f"seat {seat} left the game: {type(error).__name__}: {error}")
            self._wake()
            raise

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Seat(Env):
    """One seat of a match. Its tokens are extended from turn to turn, so its episode trains as one datum."""

    def __init__(self, match: Match, seat: int, chat: Chat) -> None:
        self.match = match
        self.seat = seat
        self.chat = chat
        self.prompt: list[int] = []

    async def initial_observation(self) -> Observation:
        """What the seat reads at its first turn. Raises NoTurn if the game was over before."""
        with self.match.attended_by(self.seat):
            if await self.match.turn(self.seat):
                text = self.match.game.observe(self.seat)
                return self._observe(self.chat.render_prompt([{"role": "user", "content": text}]))
        raise NoTurn(f"the game was over before the first turn of seat {self.seat}")

    async def step(self, action: Completion) -> StepResult:
        with self.match.attended_by(self.seat):
            text = None if action.stop_reason == "length" else self.chat.parse(action.tokens, self.prompt)
            move = self.match.play(self.seat, text)
            if not await self.match.turn(self.seat):
                return StepResult(move.reward, metrics=move.metrics)
            text = self.match.game.observe(self.seat)
            prompt = self.chat.extend(self.prompt, action.tokens, [{"role": "user", "content": text}])
            return StepResult(move.reward, self._observe(prompt), move.metrics)

    def _observe(self, prompt: list[int]) -> Observation:
        self.prompt = prompt
        return Observation(prompt, self.chat.stop_tokens)


@chz.chz
class GameGroupBuilder(EnvGroupBuilder):
    """One game that the policy plays against itself, on all seats."""

    game: GameBuilder = chz.field(doc="which game")
    model: ModelConfig = chz.field(doc="whose chat format the seats read and write")
    seed: int = chz.field(default=0, doc="what is drawn by chance in the game")

    async def make_envs(self) -> Sequence[Env]:
        chat = self.model.load_chat()
        match = Match(self.game(self.seed), self.game.num_seats)
        return [Seat(match, seat, chat) for seat in range(match.num_seats)]

    async def compute_group_rewards(
        self, trajectories_G: Sequence[Trajectory], envs_G: Sequence[Env]
    ) -> Sequence[GroupReward]:
        """The game's results. One that a bound on rollouts cut short has none: `finished` is 0, and all get 0."""
        del trajectories_G
        game = _match_of(envs_G).game
        if game.to_move is not None:
            return [GroupReward(metrics={"finished": 0.0})] * len(envs_G)
        return [
            GroupReward(
                result.reward, {**result.metrics, "finished": 1.0, f"reward/seat_{seat}": result.reward}
            )
            for seat, result in enumerate(game.results())
        ]

    @property
    def members_interact(self) -> bool:
        return True


def _match_of(envs_G: Sequence[Env]) -> Match:
    seat = envs_G[0]
    assert isinstance(seat, Seat)
    return seat.match


@dataclass(frozen=True)
class SelfPlay(RLDataset):
    """Games with other chances each: those of game `p` of batch `i` follow from the seed, `i` and `p`."""

    game: GameBuilder
    setup: RLSetup
    num_batches: int
    num_games: int
    name: str

    def __len__(self) -> int:
        return self.num_batches

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        return [
            GameGroupBuilder(game=self.game, model=self.setup.model, seed=self._seed(index, p))
            for p in range(self.num_games)
        ]

    def _seed(self, index: int, p: int) -> int:
        digest = hashlib.blake2b(f"{self.name}/{self.setup.seed}/{index}/{p}".encode(), digest_size=4)
        return int.from_bytes(digest.digest())


@chz.chz
class SelfPlayBuilder(RLDatasetBuilder):
    """A game that the policy learns by playing itself. Set `group_size` to the number of seats.

    With algorithm.baseline=seat_mean a seat is compared with the same seat of other games: within one zero-sum
    game the seats' rewards always cancel, so their mean says nothing of how well anyone played.
    """

    game: GameBuilder = chz.field(doc="which game")
    num_batches: int = chz.field(
        default=100, validator=at_least(1), doc="training batches; max_steps may take fewer"
    )
    num_test_games: int = chz.field(
        default=0, validator=at_least(0), doc="games of an evaluation, the same for every seed"
    )

    def __call__(self, setup: RLSetup) -> RLDatasets:
        if setup.group_size != self.game.num_seats:
            raise UserError(
                f"group_size={setup.group_size}: a group is one game of {type(self.game).__name__}, which has "
                f"{self.game.num_seats} seats. Type group_size={self.game.num_seats}"
            )
        train = SelfPlay(self.game, setup, self.num_batches, setup.groups_per_batch, "train")
        if self.num_test_games == 0:
            return RLDatasets(train, None)
        return RLDatasets(train, SelfPlay(self.game, replace(setup, seed=0), 1, self.num_test_games, "test"))
