"""How many requests go at the same time, and which wait for others.

What a user or a node waits for goes at once. What can wait, such as the status of a Job, goes in a
few slots that stay closed for a while after each request: many a second go while the server is
idle, and few while it is busy.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

__all__ = ["Lanes"]

CONNECTIONS = 40
"""Requests under way at the same time."""
LOW_PRIORITY_SLOTS = 2
"""How many of them may be of those that can wait."""
BACKPRESSURE_FACTOR = 4
"""After a request of low priority its slot stays closed so many times as long as it took."""
CATCHING_UP = 6
"""So many more while what can wait has waited for long: a server that is slow for an hour must not
leave an hour's work behind."""


class Lanes:
    """Slots for requests, by how soon they must go."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(CONNECTIONS)
        """For every request."""
        self._low_priority = asyncio.Semaphore(LOW_PRIORITY_SLOTS)
        self._events = asyncio.Semaphore(LOW_PRIORITY_SLOTS)
        self._node_events = asyncio.Semaphore(1)
        self._catching_up = asyncio.Semaphore(CATCHING_UP)
        self.is_lagging: Callable[[], bool] = lambda: False
        """Returns whether what can wait has waited for long: then more of it goes."""

    @asynccontextmanager
    async def low_priority(self, *, hurry: bool = False) -> AsyncIterator[None]:
        """Let a request that can wait through; the next one waits longer the longer this takes.

        `hurry`: much of its sort waits, so that more goes.
        """
        if (hurry or self.is_lagging()) and not self._catching_up.locked():
            async with self._catching_up:
                yield
        else:
            async with self._with_backpressure(self._low_priority):
                yield

    def event(self, *, patient: bool) -> AbstractAsyncContextManager[None]:
        """Let the posting of an Event through.

        Few at a time, but without a pause: it may be the answer to what a user asked. A patient one
        pauses, in a lane of its own, so that it delays no finalizer.
        """
        return self._with_backpressure(self._node_events) if patient else self._events

    @asynccontextmanager
    async def _with_backpressure(self, lane: asyncio.Semaphore) -> AsyncIterator[None]:
        """Take a slot, and give it back after a pause in proportion to how long it was needed."""
        await lane.acquire()
        begin = time.monotonic()
        try:
            yield
        finally:
            pause = BACKPRESSURE_FACTOR * (time.monotonic() - begin)
            asyncio.get_running_loop().call_later(pause, lane.release)
