"""What a step leaves behind: what is to be written, and outputs that are being checked."""

from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Changes", "Judging"]


class Judging(NamedTuple):
    """An output that is being checked."""

    execution: str
    output: dict[str, Any]
    at: float
    """When the execution ended."""


@dataclass(slots=True)
class Changes:
    """What a shell has to write: nodes whose state changed, and whether run fields did."""

    nodes: frozenset[str]
    run: bool

    def __bool__(self) -> bool:
        return bool(self.nodes) or self.run
