"""The pure parts that decide what runs when: numbered requests, fair lanes, promises."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinkery_local import futures
from tinkery_local.errors import RequestError
from tinkery_local.futures import FutureTable, Reply
from tinkery_local.lanes import FairScheduler, Lane
from tinkery_local.ordering import OrderedQueue


@given(st.integers(1, 12).flatmap(lambda count: st.permutations(range(1, count + 1))), st.data())
def test_requests_run_in_order_and_once(arrivals: Sequence[int], data: st.DataObject) -> None:
    repeats = data.draw(st.lists(st.sampled_from(arrivals), max_size=5))
    queue = OrderedQueue[int]()
    ran = [item for seq_id in [*arrivals, *repeats] for item in queue.put(seq_id, seq_id)]
    assert ran == sorted(arrivals)
    assert queue.missing is None and all(queue.seen(seq_id) for seq_id in arrivals)


def test_a_request_that_never_comes_is_given_up() -> None:
    queue = OrderedQueue[str]()
    assert queue.put(3, "c") == [] and queue.put(2, "b") == []
    assert queue.missing == 1
    assert queue.give_up() == ["b", "c"]
    assert queue.missing is None and queue.seen(1)
    assert queue.put(4, "d") == ["d"]


class CountingLane(Lane):
    """Has endless work of a given cost."""

    def __init__(self, cost: float) -> None:
        super().__init__()
        self.cost = cost
        self.turns = 0
        self.idle = False

    def has_work(self) -> bool:
        return not self.idle

    def run_turn(self) -> None:
        self.turns += 1
        self.served += self.cost

    def keep_promises(self) -> None:
        self.idle = True


def serve(scheduler: FairScheduler, lanes: Sequence[CountingLane], turns: int) -> None:
    for _ in range(turns):
        lane = scheduler.pick(lanes)
        assert isinstance(lane, CountingLane)
        lane.run_turn()


def test_a_long_job_does_not_starve_short_ones() -> None:
    training, sampling = CountingLane(cost=10.0), CountingLane(cost=1.0)
    serve(FairScheduler(), [training, sampling], turns=110)
    assert training.turns == 10 and sampling.turns == 100


def test_an_idle_lane_saves_up_no_time() -> None:
    scheduler = FairScheduler()
    busy, late = CountingLane(cost=1.0), CountingLane(cost=1.0)
    late.idle = True
    serve(scheduler, [busy, late], turns=100)
    late.idle = False
    serve(scheduler, [busy, late], turns=10)
    assert late.turns <= 6
    busy.idle = late.idle = True
    assert scheduler.pick([busy, late]) is None


async def test_a_poll_returns_when_the_reply_is_there() -> None:
    table = FutureTable()
    assert table.open("s:1") and not table.open("s:1")
    assert await table.wait("s:1", seconds=0.001) is None
    polls = [asyncio.create_task(table.wait("s:1", seconds=60)) for _ in range(2)]
    await asyncio.sleep(0)
    table.resolve("s:1", Reply(b"done"))
    assert await asyncio.gather(*polls) == [Reply(b"done")] * 2
    assert await table.wait("s:1", seconds=0) == Reply(b"done"), "a client may fetch again"


async def test_replies_leave_with_their_session_or_when_many_were_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(futures, "KEPT_REPLIES", 2)
    table = FutureTable()
    for request_id in ("a:1", "a:2", "a:3", "b:1"):
        table.open(request_id)
        table.resolve(request_id, Reply(b"x"))
    for request_id in ("a:1", "a:2", "a:3"):
        await table.wait(request_id, seconds=0)
    with pytest.raises(RequestError, match=r"a:1.*not known"):
        await table.wait("a:1", seconds=0)
    table.forget("a")
    table.resolve("a:3", Reply(b"late"))
    with pytest.raises(RequestError, match=r"a:3.*not known"):
        await table.wait("a:3", seconds=0)
    assert await table.wait("b:1", seconds=0) == Reply(b"x")


async def test_a_stopping_server_lets_its_polls_go() -> None:
    table = FutureTable()
    table.open("s:1")
    poll = asyncio.create_task(table.wait("s:1", seconds=60))
    await asyncio.sleep(0)
    table.close()
    with pytest.raises(RequestError, match="stopping") as stopped:
        await poll
    assert stopped.value.status == 503
