"""Namespaces take turns, whatever each of them wants."""

import asyncio
from collections import Counter

import pytest

from podium.cluster.turns import FairLine, FairSlots, GroupSlots
from podium.cluster.worker import ObjectKey
from podium.cluster.workqueue import KeyQueue, Priority


def test_groups_take_turns_and_each_keeps_its_order():
    line = FairLine(lambda item: item[0])
    for item in ["a1", "a2", "a3", "b1", "c1", "b2"]:
        line.append(item)
    found = []
    while (item := line.first(lambda each: each != "a2")) is not None:
        assert line.pop() == item
        found.append(item)
    assert found == ["a1", "b1", "c1", "a3", "b2"]


async def test_a_namespace_with_thousands_of_runs_does_not_delay_its_neighbour():
    queue = KeyQueue(lambda key: key.namespace)
    for number in range(5000):
        queue.add(ObjectKey("WorkflowRun", "crowd", f"r{number}"))
    await queue.get()
    queue.add(ObjectKey("WorkflowRun", "neighbour", "one"))
    order = [(await queue.get()).namespace for _ in range(2)]
    assert "neighbour" in order
    assert (await queue.get()).name == "r2", "those of one namespace keep their order"


async def test_a_better_priority_still_comes_first():
    queue = KeyQueue(lambda key: key.namespace)
    queue.add(ObjectKey("WorkflowRun", "crowd", "a"))
    queue.add(ObjectKey("WorkflowRun", "neighbour", "b"), Priority.LOW)
    queue.add(ObjectKey("WorkflowRun", "crowd", "cancelled"), Priority.USER)
    assert [(await queue.get()).name for _ in range(3)] == ["cancelled", "a", "b"]


async def in_slots(slots, *groups, seen):
    async def work(group):
        async with slots.slot(group):
            seen.append(group)
            await asyncio.sleep(0)

    return [asyncio.create_task(work(group)) for group in groups]


async def test_a_namespace_with_thousands_of_launches_does_not_delay_its_neighbour():
    slots, seen = FairSlots(4), []
    tasks = await in_slots(slots, *["crowd"] * 5000, seen=seen)
    await asyncio.sleep(0)
    tasks += await in_slots(slots, "neighbour", seen=seen)
    await asyncio.gather(*tasks)
    assert seen.index("neighbour") < 16
    assert len(seen) == 5001


async def test_slots_are_neither_lost_nor_given_twice():
    slots, seen = FairSlots(1), []
    async with slots.slot("a"):
        waits = await in_slots(slots, "b", "b", "c", seen=seen)
        await asyncio.sleep(0)
        waits[0].cancel()
        await asyncio.sleep(0)
    waits[2].cancel()  # whether it was given the slot already or not
    await asyncio.gather(*waits, return_exceptions=True)
    assert seen in (["b"], ["c", "b"], ["b", "c"])
    async with asyncio.timeout(5), slots.slot("d"):
        assert slots._free == 0
    assert slots._free == 1


async def test_a_slot_that_was_given_to_a_cancelled_one_goes_on_to_the_next():
    slots, seen = FairSlots(1), []
    async with slots.slot("a"):
        (gone, stays) = await in_slots(slots, "b", "c", seen=seen)
        await asyncio.sleep(0)
    gone.cancel()  # the slot is its own already, and it has not run since
    await asyncio.gather(gone, stays, return_exceptions=True)
    assert seen == ["c"]
    assert slots._free == 1


async def test_an_error_inside_gives_the_slot_back():
    slots = FairSlots(1)
    with pytest.raises(ValueError, match="no"):
        async with slots.slot("a"):
            raise ValueError("no")
    assert slots._free == 1


async def taken(queue):
    """Take keys until no worker gets one; return them."""
    keys = []
    while True:
        try:
            async with asyncio.timeout(0.01):
                keys.append(await queue.get())
        except TimeoutError:
            return keys


async def test_no_namespace_has_all_workers_whatever_they_do_for_it():
    queue = KeyQueue(lambda key: key[0], workers=16)
    for number in range(100):
        queue.add(("hostile", number))
    assert len(await taken(queue)) == 12
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(("neighbour", 1))
    assert await waiting == ("neighbour", 1)
    queue.done(("neighbour", 1))
    queue.done(("hostile", 0))
    assert await taken(queue) == [("hostile", 12)]
    for number in range(100):
        queue.add(("other", number))
    shared = await taken(queue)
    assert {key[0] for key in shared} == {"other"}
    assert len(shared) == 3, "one is left for a third namespace"
    queue.add(("third", 1), Priority.LOW)
    assert await queue.get() == ("third", 1)


async def test_namespaces_whose_keys_take_long_leave_workers_to_others_however_many_they_are():
    slow = set()
    queue = KeyQueue(lambda key: key[0], workers=21, is_slow=lambda group: group in slow)
    for group in "abcdef":
        slow.add(group)
        for number in range(100):
            queue.add((group, number))
    assert len(await taken(queue)) == 14
    for number in range(100):
        queue.add(("neighbour", number))
    assert {key[0] for key in await taken(queue)} == {"neighbour"}
    slow.clear()
    assert {key[0] for key in await taken(queue)} < set("abcdef")


async def test_who_waits_hears_when_a_namespace_may_have_more():
    queue = KeyQueue(lambda key: key[0], workers=4)
    for number in range(5):
        queue.add(("a", number))
    assert len(await taken(queue)) == 3
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.done(("a", 0))
    async with asyncio.timeout(5):
        assert await waiting == ("a", 3)


async def test_each_group_has_slots_of_its_own():
    slots, held, most = GroupSlots(2), Counter(), Counter()

    async def work(group):
        async with slots.slot(group):
            held[group] += 1
            most[group] = max(most[group], held[group])
            await asyncio.sleep(0.001)
            held[group] -= 1

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(work("ab"[number % 2]))
    assert most == {"a": 2, "b": 2}
    assert not slots._groups
