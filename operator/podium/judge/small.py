"""What is small for certain: objects that are checked where they are, in a few milliseconds."""

from collections.abc import Mapping
from typing import Any

from podium.engine import COSTLY

__all__ = [
    "QUICK_VALUES",
    "SMALL_CHARACTERS",
    "SMALL_DEPTH",
    "SMALL_VALUES",
    "is_quickly_read",
    "is_small",
]

SMALL_VALUES = 256
"""Values and keys in an object. Names are compared with each other only on the way to an error."""
SMALL_CHARACTERS = 8192
SMALL_DEPTH = 32
QUICK_VALUES = 20_000
"""Values that a reader of JSON makes in two milliseconds or so."""


def is_small(body: Any) -> bool:
    """Return whether an object is checked in a few milliseconds, whatever it holds.

    It looks at no more than so many values, and holds them in a list, not in frames of calls: an
    object of 10,000 levels does no harm.
    """
    waiting: list[tuple[Any, int]] = [(body, 1)]
    values = characters = 0
    while waiting:
        value, depth = waiting.pop()
        values += 1
        if values > SMALL_VALUES or characters > SMALL_CHARACTERS or depth > SMALL_DEPTH:
            return False
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, Mapping):
            if 2 * len(value) + values > SMALL_VALUES or not COSTLY.isdisjoint(value):
                return False
            values += len(value)
            characters += sum(map(len, value))
            waiting.extend((each, depth + 1) for each in value.values())
        elif isinstance(value, list):
            if len(value) + values > SMALL_VALUES:
                return False
            waiting.extend((each, depth + 1) for each in value)
    return characters <= SMALL_CHARACTERS


def is_quickly_read(data: bytes) -> bool:
    """Return whether JSON is read in a few milliseconds, whatever it holds.

    There is no value without one of these before it, or it is the first; in strings they count too.
    """
    return 1 + sum(map(data.count, (b",", b"[", b"{"))) <= QUICK_VALUES
