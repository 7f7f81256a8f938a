"""Indexes of a map's items as compact ranges, written as a Job's `completedIndexes`: "0-5,7".

A set of a hundred thousand indexes takes as much room as it has gaps, in memory and as text.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from copy import copy
from typing import Self

from podium.errors import PodiumError

__all__ = ["IndexRanges", "IndexRangesError"]

_RANGE = re.compile(r"(0|[1-9][0-9]{0,8})(?:-([1-9][0-9]{0,8}))?")


class IndexRangesError(PodiumError):
    """It is not what `IndexRanges` writes."""


class IndexRanges:
    """A set of indexes, from 0 up to a bound; adding one costs the logarithm of its gaps."""

    __slots__ = ("_count", "_ends", "_starts")

    def __init__(self, indexes: Iterable[int] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []  # each is the last index of its range plus one
        self._count = 0
        for index in indexes:
            self.add(index)

    @classmethod
    def parse(cls, text: str, *, below: int) -> Self:
        """Read ranges of indexes below a bound. Raises `IndexRangesError`.

        What others may have written is refused before it takes time or memory: they must increase,
        and there is no text longer than one of all indexes apart.
        """
        made = cls()
        if not text:
            return made
        if len(text) > below * (len(str(below)) + 1):
            raise IndexRangesError(f"has {len(text)} characters: too long for {below} indexes")
        for part in text.split(","):
            match = _RANGE.fullmatch(part)
            if match is None:
                raise IndexRangesError(f"{part!r:.40} is not an index or a range such as 3-5")
            first = int(match[1])
            last = int(match[2]) if match[2] is not None else first
            if last < first or (made._ends and first < made._ends[-1]):
                raise IndexRangesError(f"{part!r:.40} is not in increasing order")
            if last >= below:
                raise IndexRangesError(f"{part!r:.40} is not below {below}")
            made._append(first, last + 1)
        return made

    @classmethod
    def all(cls, count: int) -> Self:
        """Make the set of all indexes below a bound."""
        made = cls()
        if count > 0:
            made._append(0, count)
        return made

    def add(self, index: int) -> bool:
        """Add an index, and return whether it was not there."""
        if index < 0:
            raise IndexRangesError(f"{index} is not an index")
        starts, ends = self._starts, self._ends
        at = bisect_right(starts, index)  # the range before is that of at - 1
        if at and index < ends[at - 1]:
            return False
        joins_before = at > 0 and ends[at - 1] == index
        joins_after = at < len(starts) and starts[at] == index + 1
        if joins_before and joins_after:
            ends[at - 1] = ends.pop(at)
            del starts[at]
        elif joins_before:
            ends[at - 1] = index + 1
        elif joins_after:
            starts[at] = index
        else:
            starts.insert(at, index)
            ends.insert(at, index + 1)
        self._count += 1
        return True

    def discard(self, index: int) -> bool:
        """Remove an index, and return whether it was there."""
        starts, ends = self._starts, self._ends
        at = bisect_right(starts, index) - 1
        if at < 0 or index >= ends[at]:
            return False
        first, end = starts[at], ends[at]
        kept = [(a, b) for a, b in ((first, index), (index + 1, end)) if a < b]
        starts[at : at + 1] = [a for a, _ in kept]
        ends[at : at + 1] = [b for _, b in kept]
        self._count -= 1
        return True

    def missing(self, count: int) -> Iterator[int]:
        """Yield the indexes below a bound that are not there, in order."""
        before = 0
        for first, end in zip(self._starts, self._ends, strict=True):
            if first >= count:
                break
            yield from range(before, first)
            before = end
        yield from range(before, count)

    def copy(self) -> Self:
        """Return a set of the same indexes, which changes by itself."""
        made = copy(self)
        for name in ("_starts", "_ends"):
            setattr(made, name, getattr(self, name).copy())
        return made

    @property
    def end(self) -> int:
        """The index after the last one; 0: there is none."""
        return self._ends[-1] if self._ends else 0

    def __contains__(self, index: int) -> bool:
        at = bisect_left(self._starts, index + 1)
        return at > 0 and index < self._ends[at - 1]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        for first, end in zip(self._starts, self._ends, strict=True):
            yield from range(first, end)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, IndexRanges)
            and self._starts == other._starts
            and self._ends == other._ends
        )

    __hash__ = None  # type: ignore[assignment] # it changes

    def __str__(self) -> str:
        """Write them as Kubernetes does: two neighbours as `3,4`, more as `3-5`."""
        return ",".join(
            str(first) if last == first else f"{first}{'-' if last > first + 1 else ','}{last}"
            for first, last in zip(self._starts, (end - 1 for end in self._ends), strict=True)
        )

    def __repr__(self) -> str:
        return f"IndexRanges({self!s:.80})"

    def _append(self, first: int, end: int) -> None:
        if self._ends and self._ends[-1] == first:
            self._ends[-1] = end
        else:
            self._starts.append(first)
            self._ends.append(end)
        self._count += end - first
