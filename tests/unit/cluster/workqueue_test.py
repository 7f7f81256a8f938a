"""The queue of keys: once each, one worker a key, put off until a time."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.cluster import workqueue as queue_module
from podium.cluster.workqueue import KeyQueue, Priority


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that stands still until it is set."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(queue_module, "time", clock)
    return clock


async def ready(queue):
    """Take all keys that can be had without waiting."""
    found = []
    while True:
        getting = asyncio.ensure_future(queue.get())
        for _ in range(3):
            await asyncio.sleep(0)
        if not getting.done():
            getting.cancel()
            await asyncio.wait([getting])
            return found
        found.append(getting.result())


async def test_a_key_waits_once():
    queue = KeyQueue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert await ready(queue) == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_it_is_worked_on_comes_again_afterwards():
    queue = KeyQueue()
    queue.add("a")
    assert await ready(queue) == ["a"]
    queue.add("a")
    queue.add("a")
    assert await ready(queue) == []
    queue.done("a")
    assert await ready(queue) == ["a"]
    queue.done("a")
    assert await ready(queue) == []


async def test_keys_come_by_rank_and_of_one_rank_first_come_first_served():
    queue = KeyQueue()
    for key, rank in (("new", Priority.LOW), ("newer", Priority.LOW), ("c", Priority.NORMAL),
                      ("d", Priority.NORMAL), ("cancel", Priority.USER)):  # fmt: skip
        queue.add(key, rank)
    assert await ready(queue) == ["cancel", "c", "d", "new", "newer"]


async def test_the_better_rank_of_a_key_counts_and_it_comes_once():
    queue = KeyQueue()
    queue.add("a", Priority.LOW)
    queue.add("b", Priority.LOW)
    queue.add("c", Priority.NORMAL)
    queue.add("b", Priority.USER)
    queue.add("b", Priority.LOW)
    assert len(queue) == 3
    assert await ready(queue) == ["b", "c", "a"]
    assert len(queue) == 0


async def test_a_key_keeps_its_rank_while_it_is_worked_on():
    queue = KeyQueue()
    queue.add("a")
    assert await ready(queue) == ["a"]
    queue.add("a", Priority.LOW)
    queue.add("a", Priority.USER)
    queue.add("b")
    queue.done("a")
    assert await ready(queue) == ["a", "b"]


async def test_what_comes_later_comes_although_there_is_always_something_before_it():
    queue = KeyQueue()
    queue.add("new", Priority.LOW)
    for number in range(100):
        queue.add(number)
        key = await queue.get()
        if key == "new":
            break
        queue.done(key)
        queue.add("more")
    assert key == "new"


async def test_the_age_is_that_of_the_key_that_waits_longest(clock):
    queue = KeyQueue()
    assert queue.age() == 0
    queue.add("a")
    clock.now += 2
    queue.add("b")
    queue.add("a", Priority.USER)
    clock.now += 3
    assert queue.age() == 5
    assert await queue.get() == "a"
    assert queue.age() == 3
    assert await queue.get() == "b"
    assert queue.age() == 0


async def test_a_key_is_put_off(clock):
    queue = KeyQueue()
    queue.add_after("a", 5)
    assert await ready(queue) == []
    clock.now += 4.9
    assert await ready(queue) == []
    clock.now += 0.1
    assert await ready(queue) == ["a"]
    queue.done("a")
    clock.now += 100
    assert await ready(queue) == []


async def test_the_earliest_time_counts(clock):
    queue = KeyQueue()
    for seconds in (10, 5, 7):
        queue.add_after("a", seconds)
    clock.now += 5
    assert await ready(queue) == ["a"]
    queue.done("a")
    clock.now += 100
    assert await ready(queue) == [], "the later ones are void"
    queue.add_after("a", 10)
    clock.now += 10
    assert await ready(queue) == ["a"]


async def test_a_time_that_is_past_is_now(clock):
    queue = KeyQueue()
    queue.add_after("a", -3)
    assert await ready(queue) == ["a"]


async def test_what_is_due_while_it_is_worked_on_comes_again_afterwards(clock):
    queue = KeyQueue()
    queue.add("a")
    queue.add_after("a", 1)
    assert await ready(queue) == ["a"]
    clock.now += 1
    assert await ready(queue) == []
    queue.done("a")
    assert await ready(queue) == ["a"]


async def test_what_is_due_comes_in_the_order_of_its_times(clock):
    queue = KeyQueue()
    for key, seconds in (("c", 3), ("a", 1), ("b", 2)):
        queue.add_after(key, seconds)
    clock.now += 3
    assert await ready(queue) == ["a", "b", "c"]


async def test_those_who_wait_are_woken():
    queue = KeyQueue()
    getting = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b", Priority.LOW)
    queue.add_after("c", 0)
    assert sorted(await asyncio.gather(*getting)) == ["a", "b", "c"]


async def test_a_worker_that_is_cancelled_takes_nothing_along():
    queue = KeyQueue()
    getting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    getting.cancel()
    queue.add("a")
    assert await queue.get() == "a"


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([*Priority, "get", "done"]), st.sampled_from("abc")),
        max_size=30,
    )
)
def test_no_key_is_lost_and_none_is_worked_on_twice_at_a_time(steps):
    async def scene():
        queue, busy, dirty = KeyQueue(), set(), set()
        for step, key in steps:
            if isinstance(step, Priority):
                queue.add(key, step)
                dirty.add(key)
            elif step == "done" and key in busy:
                busy.discard(key)
                queue.done(key)
            elif step == "get" and len(queue):
                taken = await queue.get()
                assert taken not in busy
                assert taken in dirty
                busy.add(taken)
                dirty.discard(taken)
        for key in busy:
            queue.done(key)
        assert {await queue.get() for _ in range(len(queue))} == dirty

    asyncio.run(scene())
