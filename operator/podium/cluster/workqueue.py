"""A queue of keys: each waits once, is worked on by one worker at a time, and may be put off."""

import asyncio
import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from enum import IntEnum
from typing import Any, Generic, TypeVar

from podium.cluster.turns import FairLine

__all__ = ["KeyQueue", "Priority", "backoff"]

K = TypeVar("K", bound=Hashable)

SHARE = 3
"""A group has at most so many times as many workers as are free: one alone has three of four, and
whatever it has them do, others do not wait for it."""
SLOW_SHARE = 2 / 3
"""Groups whose keys take long have at most so much of the workers together, however many there
are."""
PATIENCE = 8
"""After so many keys in a row that came before others, one of those comes."""


class Priority(IntEnum):
    """How soon a key comes."""

    USER = 0
    """A user waits for it."""
    NORMAL = 1
    LOW = 2
    """It begins something: what is begun comes to its end first."""


def backoff(times: int, bounds: tuple[float, float]) -> float:
    """Return the seconds to wait after so many failures in a row: twice as long each time."""
    first, longest = bounds
    # The exponent is bounded too: of a day's failures the power would not fit a float.
    return min(first * 2.0 ** min(times - 1, 10), longest)


class KeyQueue(Generic[K]):
    """Keys to be worked on, by priority; of one priority, groups of keys take turns.

    Within a group it is first come, first served. A key added while it is worked on comes again
    afterwards.
    """

    def __init__(
        self,
        group: Callable[[K], Hashable] = lambda _: None,
        *,
        workers: int | None = None,
        is_slow: Callable[[Any], bool] = lambda _: False,
    ) -> None:
        """`workers`: how many there are, so that no group has all of them; None: it may.

        `is_slow` says whether the keys of a group take long.
        """
        self._lines = {priority: FairLine(group) for priority in Priority}
        """A key that got a better priority since stands in its earlier line, too."""
        self._waiting: dict[K, Priority] = {}
        self._since: dict[K, float] = {}
        """Since when (monotonic) they wait, the first ones first."""
        self._group = group
        self._workers = workers
        self._is_slow = is_slow
        self._busy: set[K] = set()
        self._busy_of: Counter[Hashable] = Counter()
        """How many of them are of each group."""
        self._again: dict[K, Priority] = {}
        self._passed = 0
        """How often those of the last line were passed over."""
        self._delayed: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        """Rings when the next delayed key is due."""
        self._idle: deque[asyncio.Future[None]] = deque()
        """Workers that wait for a key."""

    def __len__(self) -> int:
        return len(self._waiting)

    def age(self) -> float:
        """Return the seconds that the key which waits longest has waited."""
        now = time.monotonic()
        return now - next(iter(self._since.values()), now)

    def add(self, key: K, priority: Priority = Priority.NORMAL) -> None:
        """Add a key; of one that waits already the higher priority counts."""
        if key in self._busy:
            self._again[key] = min(priority, self._again.get(key, priority))
            return
        waiting = self._waiting.get(key)
        if waiting is not None and waiting <= priority:
            return
        self._waiting[key] = priority
        self._since.setdefault(key, time.monotonic())
        self._lines[priority].append(key)
        if waiting is None:
            self._wake(1)

    def add_at(self, key: K, moment: float) -> None:
        """Add a key at a time (of `time.monotonic`); the earliest of several counts."""
        if self._due.get(key, float("inf")) <= moment:
            return
        self._due[key] = moment
        heapq.heappush(self._delayed, (moment, next(self._order), key))
        if self._delayed[0][0] == moment:
            self._set_timer(moment)

    def add_after(self, key: K, seconds: float) -> None:
        """Add a key after some seconds."""
        self.add_at(key, time.monotonic() + max(0.0, seconds))

    async def get(self) -> K:
        """Take the next key; `done` must follow."""
        self._promote_due()
        while (key := self._next()) is None:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # it was woken a moment ago
                    self._wake(1)
                raise
        self._busy.add(key)
        self._busy_of[self._group(key)] += 1
        return key

    def _wake(self, count: int) -> None:
        """Have idle workers look for a key."""
        while count and self._idle:
            turn = self._idle.popleft()
            if not turn.done():
                turn.set_result(None)
                count -= 1

    def _next(self) -> K | None:
        heads = [priority for priority in self._lines if self._has_head(priority)]
        if not heads:
            return None
        priority = max(heads) if self._passed >= PATIENCE else min(heads)
        self._passed = self._passed + 1 if priority < max(heads) else 0
        key = self._lines[priority].pop()
        del self._waiting[key], self._since[key]
        return key

    def _has_head(self, priority: Priority) -> bool:
        """Drop what is void from the head of a line; return whether one is left."""
        head = self._lines[priority].first(
            lambda key: self._waiting.get(key) is priority, self._may_have_more
        )
        return head is not None

    def _may_have_more(self, group: Hashable) -> bool:
        """Return whether a group leaves enough workers to others if it gets another one."""
        if self._workers is None:
            return True
        if self._busy_of[group] >= SHARE * (self._workers - len(self._busy)):
            return False
        if not self._is_slow(group):
            return True
        slow = sum(count for each, count in self._busy_of.items() if self._is_slow(each))
        return slow < SLOW_SHARE * self._workers

    def done(self, key: K) -> None:
        """Give a key back."""
        if key in self._busy:
            self._busy.discard(key)
            group = self._group(key)
            self._busy_of[group] -= 1
            if not self._busy_of[group]:
                del self._busy_of[group]
        priority = self._again.pop(key, None)
        if priority is not None:
            self.add(key, priority)
        if self._waiting:  # of groups that had as many workers as they may have
            self._wake(len(self._idle))

    def _set_timer(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait = max(0.0, moment - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(wait, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None  # set again even when it rang a moment too soon
        self._promote_due()

    def _promote_due(self) -> None:
        """Move what is due to the waiting keys."""
        now = time.monotonic()
        while self._delayed and (
            self._delayed[0][0] <= now or self._due.get(self._delayed[0][2]) != self._delayed[0][0]
        ):
            moment, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == moment:
                del self._due[key]
                self.add(key)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if self._delayed and self._timer is None:
            self._set_timer(self._delayed[0][0])
