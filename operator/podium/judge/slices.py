"""Work that cannot go to another process, done in slices between which the event loop goes on."""

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

__all__ = ["in_slices"]

SLICE_SECONDS = 0.01
T = TypeVar("T")


async def in_slices(work: Generator[None, None, T]) -> T:
    """Return what a generator returns; whenever it has taken long, others have their turn."""
    end = time.monotonic() + SLICE_SECONDS
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result
        if time.monotonic() >= end:
            await asyncio.sleep(0)
            end = time.monotonic() + SLICE_SECONDS
