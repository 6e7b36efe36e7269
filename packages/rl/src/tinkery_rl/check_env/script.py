"""Who plays in `tinkery check-env`: a script in place of a policy, which writes the same each time it is run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from tinkery_core.completers import Completion

if TYPE_CHECKING:
    from tinkery_core.chat import Chat
    from tinkery_core.completers import Stop

MAX_ACTION_TOKENS = 8
CUT_OFF_SHARE = 0.1
SAY_SHARE = 0.9


class Script:
    """Writes random tokens, or often one of the texts `says`, and then the stop token.

    Now and then it runs into the token limit instead.
    """

    def __init__(self, chat: Chat, vocab_size: int, says: Sequence[str] = ()) -> None:
        self.chat = chat
        self.vocab_size = vocab_size
        self.says = [chat.encode(text) for text in says]

    def action(self, place: str, turn: int, stop: Stop | None) -> Completion:
        """What is sampled in this turn at this place, whenever it is asked for."""
        dice = random.Random(f"{place}/{turn}")
        ends = self._ends(stop)
        special = {*self.chat.stop_tokens, *(token for end in ends for token in end)}
        drawn = (dice.randrange(self.vocab_size) for _ in range(dice.randint(1, MAX_ACTION_TOKENS)))
        tokens = [token for token in drawn if token not in special]
        if self.says and dice.random() < SAY_SHARE:
            return _completion(dice.choice(self.says) + dice.choice(ends), "stop")
        is_cut_off = bool(tokens) and dice.random() < CUT_OFF_SHARE
        if not is_cut_off:
            tokens += dice.choice(ends)
        return _completion(tokens, "length" if is_cut_off else "stop")

    def _ends(self, stop: Stop | None) -> list[list[int]]:
        return [
            self.chat.encode(end) if isinstance(end, str) else [end] for end in stop or self.chat.stop_tokens
        ]


def _completion(tokens: list[int], stop_reason: Literal["stop", "length"]) -> Completion:
    return Completion(tokens, [-1.0] * len(tokens), stop_reason)
