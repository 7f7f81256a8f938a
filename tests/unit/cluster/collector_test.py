"""Python's collector, in a process of its own: what is set up here stays set up."""

import subprocess
import sys

CODE = """
import asyncio, gc
from podium.cluster import collector

collector.set_up()
before = gc.get_stats()
kept = [[] for _ in range(1_000_000)]
for _ in range(1_000_000):
    kept.append(kept[-1:])
after = gc.get_stats()
assert after[0]["collections"] > before[0]["collections"], "young objects are collected"
assert after[2]["collections"] == before[2]["collections"], "no full collection by itself"

collector.FULL_SECONDS = 0.01
async def main():
    task = asyncio.create_task(collector.collect_rarely())
    while gc.get_stats()[2]["collections"] == before[2]["collections"]:
        await asyncio.sleep(0.01)
    task.cancel()
asyncio.run(main())
"""
LATE = """
import asyncio, gc, weakref
from podium.cluster import collector

class Node:
    pass

def cycle():
    node = Node()
    node.self = node
    return node

collector.set_up()
collector.FULL_SECONDS, collector.THOROUGH_EVERY = 0.01, 5

async def main():
    task = asyncio.create_task(collector.collect_rarely())
    node, frozen = cycle(), gc.get_freeze_count()
    seen = weakref.ref(node)
    while gc.get_freeze_count() <= frozen:
        await asyncio.sleep(0.005)
    assert node not in gc.get_objects(), "it is looked at once"
    del node
    while seen() is not None:
        await asyncio.sleep(0.01)
    task.cancel()
asyncio.run(main())
"""


def run(code):
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


def test_full_collections_are_made_when_it_is_time_only():
    run(CODE)


def test_what_outlives_a_collection_is_looked_at_again_in_a_thorough_one():
    run(LATE)
