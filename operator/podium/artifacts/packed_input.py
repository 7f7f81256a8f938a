"""An input that a Pod's annotations cannot carry: packed, in variables of Podium's own container.

That lays it out for the program. Nothing here loads long.
"""

import base64
import zlib
from collections.abc import Mapping

__all__ = ["INPUT_VARIABLES", "MAX_PLAIN_BYTES", "pack_input", "unpack_input"]

_CHARACTERS = 100_000
"""Of one variable: Linux bounds a string at 128 KiB."""
MAX_PLAIN_BYTES = 8 << 20
"""It is in memory, and packing it takes a tenth of a second."""
INPUT_VARIABLES = tuple(f"PODIUM_GIVEN_{number}" for number in range(6))


def pack_input(given: bytes) -> tuple[str, ...] | None:
    """Return the values of the variables for it; None: it is too large for them."""
    if len(given) > MAX_PLAIN_BYTES:
        return None
    packed = base64.b64encode(zlib.compress(given)).decode()
    if len(packed) > _CHARACTERS * len(INPUT_VARIABLES):
        return None
    return tuple(packed[at : at + _CHARACTERS] for at in range(0, len(packed), _CHARACTERS))


def unpack_input(variables: Mapping[str, str]) -> bytes | None:
    """Return the input that is in the variables; None: there is none.

    Raises `ValueError`, `zlib.error`.
    """
    packed = "".join(variables.get(name, "") for name in INPUT_VARIABLES)
    return zlib.decompress(base64.b64decode(packed)) if packed else None
