"""What a task of the corpus is: a clean generator, a careless answerer and a share of the whole."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypedDict

from numpy.random import Generator


class Message(TypedDict):
    """One message of a conversation, in the form that chat templates and renderers take."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Conversation:
    """A conversation that ends with the assistant's answer.

    `key` names the instance whatever its wording (`37+45`), so that holding out a key holds out each wording of it.
    A set phrase such as `Thank you.` has no instances to hold out, and the key None.
    """

    key: str | None
    messages: tuple[Message, ...]

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Everything up to the last answer."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The content of the last message."""
        return self.messages[-1]["content"]

    def answered(self, answer: str) -> "Conversation":
        """The same conversation with another last answer."""
        return Conversation(self.key, (*self.prompt, {"role": "assistant", "content": answer}))


def exchange(key: str, user: str, answer: str) -> Conversation:
    """A conversation of one user message and its answer."""
    return Conversation(key, ({"role": "user", "content": user}, {"role": "assistant", "content": answer}))


@dataclass(frozen=True)
class Task:
    """One skill of the tiny model. Its functions depend on nothing but the generator that they are given."""

    name: str
    share: float
    """Share of the corpus's conversations (shares are normalised over the registry)."""
    clean: Callable[[Generator], Conversation]
    """Draws an instance, rightly answered."""
    careless: Callable[[Generator, Conversation], str]
    """Draws a careless answer to an instance."""
    careless_share: float
    """Share of this task's answers that are careless in the corpus of mixed quality."""
    may_follow: bool = True
    """Whether an instance may follow other turns: its answer depends on nothing said before it."""

    def draw(self, rng: Generator, *, held_out: bool = False) -> Conversation:
        """Draws a clean instance from the training side, or from the held-out side."""
        while True:
            conversation = self.clean(rng)
            if is_held_out(conversation.key) == held_out:
                return conversation


def is_held_out(key: str | None) -> bool:
    """Whether an instance is kept out of every corpus: one key in ten, by checksum, the same on each machine."""
    return key is not None and zlib.crc32(key.encode()) % 10 == 0
