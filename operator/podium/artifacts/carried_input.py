"""An input that no Pod can hold: packed, in pieces that rest in the store, joined where it is read.

It is written and read as it comes, so that neither the operator nor a Pod holds it. What does not
depend on the execution comes first: nodes with the same inputs share pieces.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from podium.artifacts.packed_input import PIECE_BYTES

if TYPE_CHECKING:
    from podium.artifacts.values import Part

__all__ = ["MAX_CARRIED_BYTES", "MAX_PIECES", "Carried", "lay_out", "measure", "pieces", "written"]

MAX_CARRIED_BYTES = 64 << 20
"""As a large output has."""
MAX_PIECES = 64
"""Of 750,000 bytes each: the outputs of 10,000 nodes that do not pack at all."""
_SPLICED = ("dependencyOutputs", "inputs")
"""Parts of an input that may hold more than its document does."""
_SHARED = ("workflowId", "runId", "metadata", "globalContext", "artifacts", "dependencyOutputs")
_CHUNK = 64 << 10


@dataclass(frozen=True, slots=True)
class Carried:
    """An input in the store."""

    size: int
    """Bytes, unpacked."""
    digests: tuple[str, ...]
    """Of its pieces, in order."""
    splices: Mapping[str, tuple[int, bool]] = field(default_factory=dict)
    """Where more of a part is to be put in, and whether there is nothing of it before that."""

    def dump(self) -> dict[str, Any]:
        """Return it as JSON."""
        splices = {key: list(splice) for key, splice in self.splices.items()}
        return {"size": self.size, "digests": list(self.digests), "splices": splices}

    @classmethod
    def load(cls, given: Mapping[str, Any]) -> "Carried":
        """Read it. Raises `KeyError`, `TypeError`, `ValueError`."""
        splices = {key: (int(at), bool(empty)) for key, (at, empty) in given["splices"].items()}
        return cls(int(given["size"]), tuple(map(str, given["digests"])), splices)


class _End(NamedTuple):
    """The end of a part."""

    part: str
    is_empty: bool


def _fragments(document: Mapping[str, Any], keys: Iterable[str]) -> Iterator[bytes | _End]:
    """Write an input as JSON, an output at a time."""
    import orjson  # noqa: PLC0415 - few Pods need it

    comma = b"{"
    for key in keys:
        value = document[key]
        yield comma + orjson.dumps(key) + b":"
        comma = b","
        if key in _SPLICED and isinstance(value, Mapping):
            inner = b"{"
            for name, each in value.items():
                yield inner + orjson.dumps(name) + b":"
                yield orjson.dumps(each)
                inner = b","
            if not value:
                yield inner
            yield _End(key, not value)
            yield b"}"
        else:
            yield orjson.dumps(value)
    yield b"{}" if comma == b"{" else b"}"


def written(document: Mapping[str, Any], most: int) -> bytes | None:
    """Return an input as JSON; None: it has more than `most` bytes."""
    found, size = [], 0
    for each in _fragments(document, document):
        if not isinstance(each, _End):
            found.append(each)
            size += len(each)
            if size > most:
                return None
    return b"".join(found)


def _in_order(document: Mapping[str, Any]) -> list[str]:
    shared = [key for key in _SHARED if key in document]
    return [*shared, *(key for key in document if key not in shared)]


def pieces(document: Mapping[str, Any]) -> Iterator[bytes]:
    """Return what is stored of an input, piece by piece: the same each time."""
    return _packed(each for each in _plain(document) if not isinstance(each, _End))


def _plain(document: Mapping[str, Any]) -> Iterator[bytes | _End]:
    return _fragments(document, _in_order(document))


def _packed(plain: Iterable[bytes]) -> Iterator[bytes]:
    packer, piece = zlib.compressobj(), bytearray()
    for each in plain:
        for at in range(0, len(each), _CHUNK):
            piece += packer.compress(each[at : at + _CHUNK])
            while len(piece) >= PIECE_BYTES:
                yield bytes(piece[:PIECE_BYTES])
                del piece[:PIECE_BYTES]
    piece += packer.flush()
    for at in range(0, len(piece), PIECE_BYTES):
        yield bytes(piece[at : at + PIECE_BYTES])


def measure(document: Mapping[str, Any]) -> Carried | None:
    """Return what an input will be in the store; None: it is too large for that."""
    size, splices, digests = 0, {}, []

    def plain() -> Iterator[bytes]:
        nonlocal size
        for each in _plain(document):
            if isinstance(each, _End):
                splices[each.part] = size, each.is_empty
                continue
            size += len(each)
            yield each

    for piece in _packed(plain()):
        digests.append(hashlib.sha256(piece).hexdigest())
        if size > MAX_CARRIED_BYTES or len(digests) > MAX_PIECES:
            return None
    return Carried(size, tuple(digests), splices) if size <= MAX_CARRIED_BYTES else None


def lay_out(
    carried: Carried,
    stored: Iterable[bytes | memoryview],
    parts: Sequence["Part"],
    write: Callable[[bytes | memoryview], object],
) -> None:
    """Write an input as it comes from the store, with parts that rest there by themselves.

    Raises what `stored`, `parts` and `write` raise, `ValueError`, `KeyError`, `zlib.error`.
    """
    from podium.artifacts.values import write_parts  # noqa: PLC0415 - as orjson

    ends = sorted((*carried.splices[key], key) for key in {part.part for part in parts})
    at = 0
    for chunk in _unpacked(stored):
        view = memoryview(chunk)
        while ends and ends[0][0] <= at + len(view):
            end, is_empty, key = ends.pop(0)
            write(view[: end - at])
            view, at = view[end - at :], end
            write_parts([part for part in parts if part.part == key], write, comma=not is_empty)
        write(view)
        at += len(view)
        if at > carried.size:
            break
    if at != carried.size:
        raise ValueError(f"it has {at} bytes and not {carried.size}")


def _unpacked(stored: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    for piece in stored:
        waiting: bytes | memoryview = piece
        while waiting:
            yield unpacker.decompress(waiting, _CHUNK * 16)
            waiting = unpacker.unconsumed_tail
    yield unpacker.flush()
