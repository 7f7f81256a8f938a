"""Turns: what many namespaces wait for is given to one after the other, however much each wants."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

__all__ = ["FairLine", "FairSlots", "GroupSlots"]

K = TypeVar("K")


class FairLine(Generic[K]):
    """A line in which groups take turns; within one group it is first come, first served."""

    def __init__(self, group: Callable[[K], Hashable]) -> None:
        self._group = group
        self._groups: OrderedDict[Hashable, deque[K]] = OrderedDict()
        """The group whose turn it is comes first."""
        self._turn: Hashable = None
        """The group of the item that `first` returned."""

    def append(self, item: K) -> None:
        """Add an item behind those of its group."""
        self._groups.setdefault(self._group(item), deque()).append(item)

    def first(
        self, wanted: Callable[[K], bool], may: Callable[[Hashable], bool] = lambda _: True
    ) -> K | None:
        """Return the item whose turn it is, dropping what is not wanted any more before it.

        A group that may not have its turn now is passed over.
        """
        found, empty = None, []
        for group, items in self._groups.items():
            if not may(group):
                continue
            while items and not wanted(items[0]):
                items.popleft()
            if items:
                found, self._turn = items[0], group
                break
            empty.append(group)
        for group in empty:
            del self._groups[group]
        return found

    def pop(self) -> K:
        """Take the item that `first` returned; its group waits for its next turn."""
        items = self._groups[self._turn]
        item = items.popleft()
        if items:
            self._groups.move_to_end(self._turn)
        else:
            del self._groups[self._turn]
        return item


class FairSlots:
    """So many at the same time; who waits longest does not come first, but groups take turns."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._line: FairLine[tuple[str, asyncio.Future[None]]] = FairLine(lambda each: each[0])

    @asynccontextmanager
    async def slot(self, group: str) -> AsyncIterator[None]:
        """Hold a slot, once it is the group's turn."""
        if self._free:
            self._free -= 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._line.append((group, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # it was given one a moment ago
                    self._release()
                raise
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        waiting = self._line.first(lambda each: not each[1].done())
        if waiting is None:
            self._free += 1
        else:
            self._line.pop()[1].set_result(None)


class GroupSlots:
    """So many at the same time in each group, whatever the others do."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._groups: dict[Hashable, tuple[asyncio.Semaphore, list[None]]] = {}
        """For each group its slots, and an entry for who has one or waits for one."""

    @asynccontextmanager
    async def slot(self, group: Hashable) -> AsyncIterator[None]:
        """Hold a slot of a group."""
        known = self._groups.get(group)
        if known is None:
            known = self._groups[group] = asyncio.Semaphore(self._number), []
        slots, users = known
        users.append(None)
        try:
            async with slots:
                yield
        finally:
            users.pop()
            if not users:
                del self._groups[group]
