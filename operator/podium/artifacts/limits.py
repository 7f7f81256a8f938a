"""Bounds of what is packed, and of what is unpacked: whoever writes a store may be hostile."""

from dataclasses import dataclass

__all__ = ["MAX_ENTRIES", "MAX_RATIO", "MIN_RATIO_BYTES", "Limits"]

MAX_ENTRIES = 250_000
"""Files and directories of an artifact."""
MAX_RATIO = 1000
"""How many bytes one compressed byte may become."""
MIN_RATIO_BYTES = 64 << 20
"""Up to here any ratio is fine: it can fill neither memory nor a disk."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one artifact may take when it is unpacked."""

    size: int = 1 << 42
    """Bytes of its files."""
    entries: int = MAX_ENTRIES
    ratio: int = MAX_RATIO
