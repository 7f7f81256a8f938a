"""A queue of keys: each waits once, is worked on by one worker at a time, and may be put off."""

import asyncio
import contextlib
import heapq
import itertools
import time
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["KeyQueue", "backoff"]

K = TypeVar("K", bound=Hashable)


def backoff(times: int, bounds: tuple[float, float]) -> float:
    """Return the seconds to wait after so many failures in a row: twice as long each time."""
    first, most = bounds
    # The exponent is bounded too: of a day's failures the power would be no float any more.
    return min(first * 2.0 ** min(times - 1, 10), most)


class KeyQueue(Generic[K]):
    """Keys to be worked on. A key added while it is worked on comes again afterwards.

    Keys that were listed at start-up wait behind those of live events.
    """

    def __init__(self) -> None:
        self._live: deque[K] = deque()
        self._listed: deque[K] = deque()
        self._waiting: set[K] = set()
        self._busy: set[K] = set()
        self._again: set[K] = set()
        self._delayed: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._order = itertools.count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: K, *, listed: bool = False) -> None:
        """Add a key, unless it waits already."""
        if key in self._busy:
            self._again.add(key)
            return
        if key in self._waiting:
            return
        self._waiting.add(key)
        (self._listed if listed else self._live).append(key)
        self._changed.set()

    def add_at(self, key: K, moment: float) -> None:
        """Add a key at a time (of `time.monotonic`); the earliest of several counts."""
        if self._due.get(key, float("inf")) <= moment:
            return
        self._due[key] = moment
        heapq.heappush(self._delayed, (moment, next(self._order), key))
        self._changed.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Add a key after some seconds."""
        self.add_at(key, time.monotonic() + max(0.0, seconds))

    async def get(self) -> K:
        """Take the next key; `done` must follow."""
        while True:
            wait = self._ripen()
            for waiting in (self._live, self._listed):
                if waiting:
                    key = waiting.popleft()
                    self._waiting.discard(key)
                    self._busy.add(key)
                    return key
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    def done(self, key: K) -> None:
        """Give a key back."""
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _ripen(self) -> float | None:
        """Move what is due to the waiting keys; return the seconds until the next one."""
        now = time.monotonic()
        while self._delayed:
            moment, _, key = self._delayed[0]
            if self._due.get(key) != moment:
                heapq.heappop(self._delayed)
            elif moment <= now:
                heapq.heappop(self._delayed)
                del self._due[key]
                self.add(key)
            else:
                return moment - now
        return None
