"""Python's collector of reference cycles, kept from holding the event loop up.

A full collection looks at each object of the process: with many runs in memory the loop stands
still for a tenth of a second. So one looks at each object once: what is loaded before the work
begins, and what outlives a full collection, is frozen. Cycles among these that become garbage later
are found in an hour; a run that is let go leaves none, whatever its size (`ActiveRun.close`).
Young objects are collected as ever.
"""

import asyncio
import gc
import itertools

__all__ = ["collect_rarely", "set_up"]

FULL_SECONDS = 10.0
"""Between collections of what came since the last."""
THOROUGH_EVERY = 360
"""Of so many collections one looks at everything."""
_NEVER = 1_000_000_000


def set_up() -> None:
    """Leave out what is there, and make no full collection but those of `collect_rarely`."""
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


async def collect_rarely() -> None:
    """Make full collections, until cancelled."""
    for count in itertools.count(1):
        await asyncio.sleep(FULL_SECONDS)
        if count % THOROUGH_EVERY == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
