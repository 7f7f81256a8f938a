"""An input that a Pod's annotations cannot carry: packed, in variables of Podium's own container.

That lays it out for the program. Nothing here loads long.
"""

import base64
import zlib
from collections.abc import Mapping

__all__ = [
    "INPUT_VARIABLES",
    "MAX_PLAIN_BYTES",
    "PIECE_BYTES",
    "pack_input",
    "unpack_input",
    "variables_of",
    "what_is_in",
]

_CHARACTERS = 100_000
"""Of one variable: Linux bounds a string at 128 KiB."""
MAX_PLAIN_BYTES = 8 << 20
"""It is in memory, and packing it takes a tenth of a second."""
INPUT_VARIABLES = tuple(f"PODIUM_GIVEN_{number}" for number in range(10))
_OF_A_NODE = 6
"""Variables of a node's own Pod: its Job holds them, too, and a tenant's run has thousands."""
PIECE_BYTES = _CHARACTERS * len(INPUT_VARIABLES) // 4 * 3
"""What one Pod carries to the store and no more; etcd takes 1.5 MB."""


def pack_input(given: bytes) -> tuple[str, ...] | None:
    """Return the values of the variables for it; None: it is too large for them."""
    if len(given) > MAX_PLAIN_BYTES:
        return None
    packed = base64.b64encode(zlib.compress(given)).decode()
    if len(packed) > _CHARACTERS * _OF_A_NODE:
        return None
    return tuple(packed[at : at + _CHARACTERS] for at in range(0, len(packed), _CHARACTERS))


def variables_of(piece: bytes) -> dict[str, str]:
    """Return the variables that hold what is carried to the store."""
    text = base64.b64encode(piece).decode()
    cut = [text[at : at + _CHARACTERS] for at in range(0, len(text), _CHARACTERS)]
    return dict(zip(INPUT_VARIABLES, cut, strict=False))


def what_is_in(variables: Mapping[str, str]) -> bytes:
    """Return what is in the variables; nothing: they are not there. Raises `ValueError`."""
    return base64.b64decode("".join(variables.get(name, "") for name in INPUT_VARIABLES))


def unpack_input(variables: Mapping[str, str]) -> bytes | None:
    """Return the input that is in the variables; None: there is none.

    Raises `ValueError`, `zlib.error`.
    """
    packed = what_is_in(variables)
    return zlib.decompress(packed) if packed else None
