"""Inputs with parts that rest elsewhere: written as they come, in memory is one part at the most.

The same on a laptop, where the parts are files, and in a Pod, where they come from the store.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from podium import contracts

__all__ = ["Part", "write_input"]

Chunk = bytes | memoryview


class Part(NamedTuple):
    """A value of an input that is not in its document."""

    part: str
    """Key of the document."""
    name: str
    """Key in that part, whose other values are in the document."""
    path: str | None
    """Dotted path of what is wanted of the contents; None: all of them."""
    contents: Callable[[], Iterable[Chunk]]
    """Return the JSON, piece by piece."""


def write_input(
    document: Mapping[str, Any], parts: Sequence[Part], write: Callable[[Chunk], object]
) -> None:
    """Write an input as JSON. Raises what `contents` and `write` raise, and `KeyError`."""
    spliced = dict.fromkeys(part.part for part in parts)
    rest = {key: value for key, value in document.items() if key not in spliced}
    write(orjson.dumps(rest)[:-1])
    comma = b"," if rest else b""
    for key in spliced:
        small = orjson.dumps(document.get(key, {}))
        write(comma + orjson.dumps(key) + b":" + small[:-1])
        comma = b"," if len(small) > 2 else b""
        for part in (each for each in parts if each.part == key):
            write(comma + orjson.dumps(part.name) + b":")
            _write(part, write)
            comma = b","
        write(b"}")
        comma = b","
    write(b"}")


def _write(part: Part, write: Callable[[Chunk], object]) -> None:
    if part.path is None:
        for chunk in part.contents():
            write(chunk)
        return
    whole = orjson.loads(b"".join(part.contents()))
    write(orjson.dumps(contracts.get_path(whole, part.path)))
