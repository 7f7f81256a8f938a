"""Python's collector of reference cycles, kept from holding the event loop up.

A full collection looks at each object of the process: with many runs in memory the loop stands
still for a tenth of a second. What is loaded before the work begins is never looked at again, and
full collections are made at most once a minute. Young objects are collected as ever.
"""

import asyncio
import gc

__all__ = ["collect_rarely", "set_up"]

FULL_SECONDS = 60.0
_NEVER = 1_000_000_000


def set_up() -> None:
    """Leave out what is there, and make no full collection but those of `collect_rarely`."""
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


async def collect_rarely() -> None:
    """Make full collections, until cancelled."""
    while True:
        await asyncio.sleep(FULL_SECONDS)
        gc.collect()
