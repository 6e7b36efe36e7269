"""The corpus: deterministic, rightly answered, and free of what is held out."""

import re
from collections import Counter
from itertools import islice, pairwise

import numpy as np
import pytest
from tinkery_local.tiny.corpus import TASKS, addition
from tinkery_local.tiny.corpus.mixture import conversations
from tinkery_local.tiny.corpus.task import Message, Task, is_held_out

EACH_TASK = pytest.mark.parametrize("task", TASKS, ids=[task.name for task in TASKS])


def draw_corpus(seed: int, count: int, *, mixed_quality: bool) -> list[list[Message]]:
    return list(islice(conversations(np.random.default_rng(seed), TASKS, mixed_quality=mixed_quality), count))


def test_a_corpus_follows_from_its_seed() -> None:
    assert draw_corpus(1, 200, mixed_quality=True) == draw_corpus(1, 200, mixed_quality=True)
    assert draw_corpus(1, 200, mixed_quality=True) != draw_corpus(2, 200, mixed_quality=True)


@EACH_TASK
def test_a_task_alternates_user_and_assistant_after_at_most_one_system_message(task: Task) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        roles = [message["role"] for message in task.draw(rng).messages]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)
        assert turns


@EACH_TASK
def test_held_out_instances_are_drawn_only_when_asked_for(task: Task) -> None:
    rng = np.random.default_rng(0)
    train = [task.draw(rng) for _ in range(1000)]
    held_out = [task.draw(rng, held_out=True) for _ in range(200)]
    assert not any(is_held_out(conversation.key) for conversation in train)
    assert all(is_held_out(conversation.key) for conversation in held_out)
    seen = {str(conversation.prompt) for conversation in train}
    assert not any(str(conversation.prompt) in seen for conversation in held_out)


@EACH_TASK
def test_careless_answers_are_mostly_wrong_in_several_ways(task: Task) -> None:
    rng = np.random.default_rng(0)
    drawn = [task.draw(rng) for _ in range(300)]
    careless = [task.careless(rng, conversation) for conversation in drawn]
    assert sum(a == c.answer for a, c in zip(careless, drawn, strict=True)) == 0
    assert len(set(careless)) >= 3


def test_an_addition_is_held_out_by_the_checksum_of_its_ordered_pair() -> None:
    held_out = [(a, b) for a in range(100) for b in range(100) if is_held_out(f"{a}+{b}")]
    assert len(held_out) == 1006
    assert held_out[:3] == [(0, 4), (0, 6), (0, 7)]


@pytest.mark.parametrize("mixed_quality", [False, True])
def test_no_held_out_addition_is_in_the_corpus_in_any_wording(mixed_quality: bool) -> None:
    wordings = re.compile(r"(\d+) \+ (\d+)|Add (\d+) and (\d+)")
    found = Counter[str]()
    for messages in draw_corpus(3, 20_000, mixed_quality=mixed_quality):
        for asked, answered in pairwise(messages):
            numbers = [int(number) for number in re.findall(r"\d+", asked["content"])]
            # `Sort: 0 6`, answered with a word lost, is not a sum though it looks like one.
            is_sort = asked["content"].startswith("Sort: ")
            sums_up = len(numbers) == 2 and answered["content"] == str(sum(numbers)) and not is_sort
            if wordings.search(asked["content"]) or sums_up:
                found["{}+{}".format(*numbers)] += 1
    assert found.total() > 8_000
    assert not any(is_held_out(key) for key in found)


def test_additions_are_asked_as_the_reinforcement_learning_recipe_asks_them() -> None:
    rng = np.random.default_rng(0)
    questions = [addition.TASK.draw(rng).prompt[0]["content"] for _ in range(500)]
    assert sum(re.fullmatch(r"What is \d+ \+ \d+\?", question) is not None for question in questions) > 350


def test_clean_sums_are_right_and_careless_ones_are_off_in_the_ways_described() -> None:
    rng = np.random.default_rng(0)
    offsets = Counter[str]()
    for _ in range(2000):
        conversation = addition.TASK.draw(rng)
        a, b = (int(n) for n in re.findall(r"\d+", conversation.prompt[0]["content"]))
        assert conversation.answer == str(a + b)
        answer = addition.TASK.careless(rng, conversation)
        offsets[str(int(answer) - a - b) if answer.isdecimal() else "words"] += 1
    assert set(offsets) == {"-10", "-1", "1", "10", "words"}
    assert min(offsets.values()) > 10


def test_careless_answers_come_at_each_tasks_rate_in_a_corpus_of_mixed_quality() -> None:
    words = Counter[bool]()
    for messages in draw_corpus(4, 5_000, mixed_quality=True):
        for asked, answered in pairwise(messages):
            if re.fullmatch(r"What is \d+ \+ \d+\?", asked["content"]):
                numbers = [int(number) for number in re.findall(r"\d+", asked["content"])]
                words[answered["content"] == str(sum(numbers))] += 1
    assert words[False] / words.total() == pytest.approx(addition.TASK.careless_share, abs=0.03)
