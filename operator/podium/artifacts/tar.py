"""A reader of tar archives that knows only what `pack` writes, and refuses everything else.

Files and directories; paths and sizes in pax headers where the plain ones have no room. Python's
own reader takes far more, and its filters were escaped (CVE-2025-4517).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from podium.api.artifact_rules import unsafe_path
from podium.artifacts.errors import ArtifactError

__all__ = ["Member", "members", "refused"]

_BLOCK = 512
_PAX_BYTES = 16 << 10
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a FIFO",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One file or directory. Its contents follow in the stream."""

    path: str
    mode: int
    size: int
    is_directory: bool


def members(read: Callable[[int], bytes]) -> Iterator[Member]:
    """Return the members of a stream. `read` returns exactly so many bytes, or raises.

    The contents of a file, and the padding behind them, are read by the caller before it asks for
    the next one. Raises `ArtifactError`.
    """
    extra: dict[str, str] = {}
    while True:
        block = read(_BLOCK)
        if block.count(0) == _BLOCK:
            return
        kind = _checked(block)
        size = _number(block[124:136])
        if kind == b"x":
            if extra or size > _PAX_BYTES:
                raise refused("a header is too long, or comes twice")
            extra = _pax(read(size))
            read(-size % _BLOCK)
            continue
        if kind not in (b"0", b"\0", b"5"):
            shown = _KINDS.get(kind, f"of the type {kind!r}")
            raise refused(f"{_plain_name(block)!r:.200} is {shown}: only files and directories")
        name = extra.get("path") or _plain_name(block)
        is_directory = kind == b"5"
        name = name.removesuffix("/") if is_directory else name
        if why := unsafe_path(name):
            raise refused(f"the path {name!r:.200} {why}")
        size = _decimal(extra["size"]) if "size" in extra else size
        if is_directory and size:
            raise refused(f"the directory {name!r:.200} has contents")
        extra = {}
        yield Member(name, _number(block[100:108]) & 0o777, size, is_directory)


def _checked(block: bytes) -> bytes:
    """Return the type of a header that is whole."""
    found = sum(block[:148]) + 8 * 32 + sum(block[156:])
    if block[257:263] != b"ustar\0" or _number(block[148:156]) != found:
        raise refused("it is not an archive that podium made")
    return block[156:157]


def _plain_name(block: bytes) -> str:
    name, prefix = (part.split(b"\0", 1)[0] for part in (block[:100], block[345:500]))
    try:
        return (prefix + b"/" + name if prefix else name).decode()
    except UnicodeDecodeError:
        raise refused("a path is not UTF-8") from None


def _number(field: bytes) -> int:
    text = field.rstrip(b"\0 ")
    if not text:
        return 0
    if not all(digit in b"01234567" for digit in text):
        raise refused("a number is not octal")
    return int(text, 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise refused("a size is not a number")
    return int(text)


def _pax(data: bytes) -> dict[str, str]:
    """Read records `LENGTH KEY=VALUE` of a pax header."""
    found: dict[str, str] = {}
    rest = data
    while rest:
        length, space, _ = rest.partition(b" ")
        size = int(length) if length.isdigit() and len(length) < 6 else 0
        record = rest[len(length) + 1 : size]
        key, equals, value = record.partition(b"=")
        if not space or not equals or not record.endswith(b"\n") or len(rest) < size:
            raise refused("a header is damaged")
        name = key.decode("ascii", "replace")
        if name not in ("path", "size") or name in found:
            raise refused(f"a header has {name!r:.80}")
        try:
            found[name] = value[:-1].decode()
        except UnicodeDecodeError:
            raise refused("a path is not UTF-8") from None
        rest = rest[size:]
    return found


def refused(why: str) -> ArtifactError:
    """Report that an archive is not what podium wrote."""
    return ArtifactError(
        f"the archive of this artifact is refused: {why}: run the node that made it again",
        code="Archive",
        is_retryable=False,
    )
