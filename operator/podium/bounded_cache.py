"""A cache bounded by bytes: what a user wrote decides how large its entries are."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["BoundedCache", "bounded_cache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LARGEST_PART = 1 / 16
"""Of the limit: a larger entry is not kept, or a few of them would leave nothing of the others."""


class BoundedCache(Generic[K, V]):
    """A function of one argument whose latest results are kept; for one thread.

    Not a library's: the ones there are take longer to load than a workflow takes to check.
    """

    def __init__(self, make: Callable[[K], V], cost: Callable[[K], int], limit: int) -> None:
        self.__wrapped__ = make
        self.__doc__ = make.__doc__
        self._make = make
        self._cost = cost
        self._limit = limit
        self._kept: OrderedDict[K, V] = OrderedDict()
        """The one that was used last comes last."""
        self.bytes = 0
        """What is kept takes at most so many bytes."""

    def __call__(self, key: K) -> V:
        """Return the result for an argument. Raises what the function raises, each time."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        value = self._make(key)
        cost = self._cost(key)
        if cost <= self._limit * LARGEST_PART:
            self._kept[key] = value
            self.bytes += cost
            while self.bytes > self._limit:
                gone, _ = self._kept.popitem(last=False)
                self.bytes -= self._cost(gone)
        return value

    def __len__(self) -> int:
        return len(self._kept)

    def cache_clear(self) -> None:
        """Forget all results."""
        self._kept.clear()
        self.bytes = 0


def bounded_cache(
    cost: Callable[[K], int], limit: int
) -> Callable[[Callable[[K], V]], BoundedCache[K, V]]:
    """Keep the latest results of a function; all of them together cost at most `limit` bytes.

    `cost` says of an argument how many bytes it takes at most to keep its result.
    """
    return lambda make: BoundedCache(make, cost, limit)
