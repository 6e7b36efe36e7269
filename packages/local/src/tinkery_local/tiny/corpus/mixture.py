"""Conversations of the whole corpus: tasks by their shares, one or several to a conversation."""

from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate

from numpy.random import Generator

from tinkery_local.tiny.corpus.task import Message, Task

JOINED_SHARE = 0.3
"""Share of conversations that string several tasks together, so that the model answers in any turn."""
MOST_JOINED = 5


def conversations(rng: Generator, tasks: Sequence[Task], *, mixed_quality: bool) -> Iterator[list[Message]]:
    """Yields conversations without end, a deterministic stream of the generator's state.

    Clean ones answer rightly throughout; of mixed quality, each task's answers are careless at its own rate.
    Held-out instances never occur.
    """
    followers = [task for task in tasks if task.may_follow]
    while True:
        parts = [choose(rng, tasks)]
        if rng.random() < JOINED_SHARE:
            parts += [choose(rng, followers) for _ in range(rng.integers(1, MOST_JOINED))]
        yield [message for task in parts for message in draw_answered(rng, task, mixed_quality)]


def choose(rng: Generator, tasks: Sequence[Task]) -> Task:
    """A task, by the shares."""
    sums = list(accumulate(task.share for task in tasks))
    return tasks[bisect(sums, rng.random() * sums[-1])]


def draw_answered(rng: Generator, task: Task, mixed_quality: bool) -> Sequence[Message]:
    """One training instance of a task, its last answer careless at the task's rate if quality is mixed."""
    conversation = task.draw(rng)
    if mixed_quality and rng.random() < task.careless_share:
        conversation = conversation.answered(task.careless(rng, conversation))
    return conversation.messages
