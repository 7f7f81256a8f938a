"""Large outputs: read within bounds where they lie, kept whole elsewhere.

What travels on is what the graph reads of one, and the verdict on its contract. Nothing here knows
where an output is kept: bytes come in, bytes and a few fields go out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import orjson

from podium.contracts.check import OutputVerdict, check_output
from podium.contracts.values import parse_output
from podium.errors import PodiumError

__all__ = [
    "LARGE_OUTPUT_BYTES",
    "LARGE_OUTPUT_VALUES",
    "READ_BYTES",
    "AskedOutput",
    "LargeOutput",
    "OutputTooLargeError",
    "Path",
    "read_large_output",
]

LARGE_OUTPUT_BYTES = 64 << 20
LARGE_OUTPUT_VALUES = 2_000_000
"""Items of lists and keys of objects: as objects of Python they take up to 200 bytes each."""
READ_BYTES = 2048
"""What the graph reads of an output travels in the last words of a container, which have 4,096."""
_CHUNK = 1 << 20

Path = tuple[str | int, ...]
"""The way to a field: keys of objects, positions in lists."""


class OutputTooLargeError(PodiumError, ValueError):
    """An output is beyond what may be handed over; the message says what would be right."""


@dataclass(frozen=True, slots=True)
class AskedOutput:
    """What a run asks of a large output: plain data, computed from the graph."""

    read: tuple[Path, ...] = ()
    """Paths whose values expressions read."""
    present: tuple[Path, ...] = ()
    """Paths that must be there, whatever they hold: another place reads the value."""
    produces: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    quality_threshold: float | None = None
    is_own_threshold: bool = False
    quality_field: str = "quality_score"

    def dump(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Self:
        """Read it from JSON."""
        paths = {name: tuple(map(tuple, data[name])) for name in ("read", "present")}
        return cls(**{**data, **paths, "produces": tuple(data["produces"])})


@dataclass(frozen=True, slots=True)
class LargeOutput:
    """What is known of an output."""

    data: bytes
    """All of it, as Podium keeps it: JSON in UTF-8."""
    read: dict[str, Any]
    """What the graph reads of it."""
    is_whole: bool
    """Whether that is all: a small output needs no other place, and is judged as any."""
    verdict: OutputVerdict


def read_large_output(raw: bytes, asked: AskedOutput) -> LargeOutput:
    """Read an output of at most `LARGE_OUTPUT_BYTES`.

    Raises `OutputNotJSONError`, `OutputTooLargeError`.
    """
    require_size(len(raw))
    if (values := _values_in(raw)) > LARGE_OUTPUT_VALUES:
        raise OutputTooLargeError(
            f"the output has {values:,} values, and {LARGE_OUTPUT_VALUES:,} is the most that an"
            " output may have: hand them over as a file, in artifacts"
        )
    output = parse_output(raw)
    data = orjson.dumps(output)
    if len(data) < READ_BYTES:
        return LargeOutput(data, output, True, OutputVerdict())
    verdict = check_output(
        output,
        produces=asked.produces,
        schema=asked.schema,
        quality_threshold=asked.quality_threshold,
        own_threshold=asked.is_own_threshold,
        quality_field=asked.quality_field,
    )
    read = _picked(output, _tree(asked))
    _require_small(read, asked)
    return LargeOutput(data, read, False, verdict)


def require_size(size: int) -> None:
    """Raise `OutputTooLargeError` for more bytes than an output may have."""
    if size > LARGE_OUTPUT_BYTES:
        raise OutputTooLargeError(
            f"the output has more than {LARGE_OUTPUT_BYTES >> 20} MiB, which is the most with"
            " largeOutput: true: hand it over as a file, in artifacts"
        )


def _require_small(read: dict[str, Any], asked: AskedOutput) -> None:
    size = len(orjson.dumps(read))
    if size < READ_BYTES:
        return
    paths = ", ".join(sorted({_shown(path) for path in asked.read}))
    raise OutputTooLargeError(
        f"what expressions read of the output ({paths:.200}) has {size:,} bytes as JSON, and must"
        f" have less than {READ_BYTES:,}: let them read smaller fields, such as a count that the"
        " program writes beside a list"
    )


def _shown(path: Path) -> str:
    return ".".join(map(str, path)) or "all of it"


def _values_in(raw: bytes) -> int:
    """Count the values of JSON, quickly and without reading it: at most a few too many."""
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") <= LARGE_OUTPUT_VALUES:
        return 0
    return sum(
        part.count(b",") + part.count(b"[") + part.count(b"{") for part in _outside_strings(raw)
    )


def _outside_strings(raw: bytes) -> Iterator[bytes]:
    """Return JSON without its strings, piece by piece."""
    inside, start = 0, 0
    while start < len(raw):
        end = min(start + _CHUNK, len(raw))
        while end < len(raw) and raw[end - 1 : end] == b"\\":  # what follows belongs to it
            end += 1
        chunk = raw[start:end].replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = chunk.split(b'"')
        yield b"".join(parts[inside::2])
        inside = (inside + len(parts) - 1) % 2
        start = end


# What is read of it

_Tree = dict[str, "_Tree | bool"]
"""Below a step: further steps; True: the value, False: that it is there."""


def _tree(asked: AskedOutput) -> "_Tree | bool":
    root: _Tree = {}
    for paths, leaf in ((asked.present, False), (asked.read, True)):
        for path in (tuple(map(str, each)) for each in paths):
            if not path:
                if leaf:
                    return True
                continue
            here = root
            for step in path[:-1]:
                below = here.get(step)
                if below is True:
                    break
                if not isinstance(below, dict):
                    below = here[step] = {}
                here = below
            else:
                last = here.get(path[-1])
                if leaf or last is None:
                    here[path[-1]] = leaf
    return root


def _picked(value: Any, wanted: "_Tree | bool") -> Any:
    """Return what is wanted of a value; what is not there stays missing, as it is in all of it."""
    if wanted is True:
        return value
    if wanted is False:
        return None
    if isinstance(value, dict):
        return {
            step: _picked(value[step], below) for step, below in wanted.items() if step in value
        }
    if isinstance(value, list):
        return _picked_items(value, wanted)
    if isinstance(value, str) and not any(map(str.isdigit, wanted)):
        return ""  # it has no such fields, whatever it says
    return value


def _picked_items(value: Sequence[Any], wanted: _Tree) -> Any:
    """Return the items that are wanted at their places, and null at those before."""
    places = {}
    for step, below in wanted.items():
        if step.isascii() and step.isdigit() and len(step) < 10:
            places[int(step)] = below
    # One that is not there is missed in the same words: the list is as long.
    made: list[Any] = [None] * min(len(value), max(places, default=-1) + 1)
    for place, below in places.items():
        if place < len(value):
            made[place] = _picked(value[place], below)
    return made
