"""Nim: a small complete game. Read it beside `tinkery_rl.envs.multiplayer`."""

from __future__ import annotations

import random
from collections.abc import Sequence

import chz
from tinkery_core.config.checks import at_least

from tinkery_rl.envs.multiplayer import Game, GameBuilder, Move
from tinkery_rl.types import GroupReward

NUM_SEATS = 2


class NimGame(Game):
    """Two seats take sticks in turn; who takes the last one wins. An illegal move loses."""

    def __init__(self, num_sticks: int, most: int, rules: str = "") -> None:
        self.num_sticks = num_sticks
        self.most = most
        self.rules = rules
        self.num_moves = 0
        self.winner: int | None = None

    @property
    def to_move(self) -> int | None:
        return self.num_moves % NUM_SEATS if self.winner is None else None

    def observe(self, seat: int) -> str:
        heap = f"How many: {' '.join('I' * self.num_sticks)}"
        return f"{self.rules}\n{heap}" if self.rules and self.num_moves == seat else heap

    def apply(self, seat: int, text: str | None) -> Move:
        said = "" if text is None else text.strip().rstrip(".")
        legal = {str(number) for number in range(1, min(self.most, self.num_sticks) + 1)}
        is_legal = said in legal
        self.num_moves += 1
        if is_legal:
            self.num_sticks -= int(said)
        if self.num_sticks == 0 or not is_legal:
            self.winner = seat if is_legal else 1 - seat
        return Move(metrics={"legal": float(is_legal)})

    def results(self) -> Sequence[GroupReward]:
        """1 for the winner, -1 for the other."""
        return [GroupReward(1.0 if seat == self.winner else -1.0) for seat in range(NUM_SEATS)]


@chz.chz
class Nim(GameBuilder):
    """Nim with one heap."""

    fewest_sticks: int = chz.field(default=3, validator=at_least(1), doc="smallest heap to begin with")
    most_sticks: int = chz.field(default=7, validator=at_least(1), doc="largest heap to begin with")
    most_taken: int = chz.field(default=3, validator=at_least(1), doc="sticks that may be taken at once")
    say_rules: bool = chz.field(
        default=True,
        doc="say the rules at first; false shows the heap alone, which is what the bundled tiny model understands",
    )

    @chz.validate
    def _some_heap_is_possible(self) -> None:
        if self.fewest_sticks > self.most_sticks:
            raise ValueError(
                f"fewest_sticks={self.fewest_sticks} is more than most_sticks={self.most_sticks}"
            )

    @property
    def num_seats(self) -> int:
        return NUM_SEATS

    def __call__(self, seed: int) -> NimGame:
        heap = random.Random(seed).randint(self.fewest_sticks, self.most_sticks)
        rules = f"Nim: take 1 to {self.most_taken} sticks; who takes the last one wins. Answer with a number."
        return NimGame(heap, self.most_taken, rules if self.say_rules else "")
