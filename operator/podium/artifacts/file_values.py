"""Values of an output in several files of a Pod: read by the collector, told in its last words.

These have less room than the values may take, so they are compressed: what an output may hold fits,
unless hardly anything of it repeats.
"""

import base64
import json
import os
import stat
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["VALUES_PATH", "dump_values", "load_values", "read_values"]

VALUES_PATH: Final = "/podium/values"
"""Directory of the collector with a file for each value; the program has each at its own path."""
MAX_BYTES: Final = 4096
"""From here on a value is too large for any output."""
_MOST: Final = 1 << 20
"""Of all of them, unpacked: who writes last words may be hostile."""


def read_values(directory: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Return what a program wrote; what is too large stays too large. Raises `OSError`."""
    found = {}
    for number, name in enumerate(names):
        file = os.open(directory / str(number), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(file, "rb") as opened:
            state = os.fstat(opened.fileno())
            if stat.S_ISREG(state.st_mode) and state.st_size:
                is_small = state.st_size < MAX_BYTES
                found[name] = opened.read(MAX_BYTES) if is_small else b" " * MAX_BYTES
    return found


def dump_values(values: Mapping[str, bytes]) -> str:
    """Return values as part of last words."""
    texts = {name: data.decode(errors="surrogateescape") for name, data in values.items()}
    document = json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return base64.b85encode(zlib.compress(document, 9)).decode()


def load_values(told: str) -> dict[str, bytes]:
    """Read values. Raises `ValueError`."""
    unpacking = zlib.decompressobj()
    try:
        document = unpacking.decompress(base64.b85decode(told), _MOST)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    texts = json.loads(document.decode("utf-8", "surrogatepass"))
    if not unpacking.eof or not isinstance(texts, dict):
        raise ValueError("not values")
    return {
        name: text.encode("utf-8", "surrogateescape")
        for name, text in texts.items()
        if isinstance(text, str)
    }
