"""Requests of one model in the order that their client meant, whatever order they arrive in.

The client numbers all that it asks of a model 1, 2, 3, … and posts the chunks of one large batch out of
order, so a request waits here until all before it have arrived.
"""

from typing import Generic, TypeVar

Item = TypeVar("Item")


class OrderedQueue(Generic[Item]):
    """Releases items by sequence number, each number once."""

    def __init__(self, first: int = 1) -> None:
        self._next = first
        self._early: dict[int, Item] = {}

    @property
    def missing(self) -> int | None:
        """The number that others wait for, or None when nothing waits."""
        return self._next if self._early else None

    def seen(self, seq_id: int) -> bool:
        """Whether this number was put before: a repeated request, which must not run again."""
        return seq_id < self._next or seq_id in self._early

    def put(self, seq_id: int, item: Item) -> list[Item]:
        """Take an item in; returns those that may run now, in order. An item seen before is ignored."""
        if self.seen(seq_id):
            return []
        self._early[seq_id] = item
        released: list[Item] = []
        while self._next in self._early:
            released.append(self._early.pop(self._next))
            self._next += 1
        return released

    def give_up(self) -> list[Item]:
        """Stop waiting for what is missing: returns all that waited for it, and goes on after the last."""
        abandoned = [self._early[seq_id] for seq_id in sorted(self._early)]
        if self._early:
            self._next = max(self._early) + 1
        self._early.clear()
        return abandoned
