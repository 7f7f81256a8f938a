"""Inputs with parts that rest elsewhere: written as they come, in memory is one part at the most.

The same on a laptop, where the parts are files, and in a Pod, where they come from the store.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from podium import contracts

__all__ = ["Part", "write_input", "write_parts"]

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
        write_parts([each for each in parts if each.part == key], write, comma=len(small) > 2)
        write(b"}")
        comma = b","
    write(b"}")


def write_parts(parts: Iterable[Part], write: Callable[[Chunk], object], *, comma: bool) -> None:
    """Write values of one part of an input; `comma`: there are others before them."""
    for part in parts:
        write((b"," if comma else b"") + orjson.dumps(part.name) + b":")
        _write(part, write)
        comma = True


def _write(part: Part, write: Callable[[Chunk], object]) -> None:
    if part.path is None:
        for chunk in part.contents():
            write(chunk)
        return
    whole = orjson.loads(b"".join(part.contents()))
    write(orjson.dumps(contracts.get_path(whole, part.path)))
