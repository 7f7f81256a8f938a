"""States of edges."""

from enum import Enum

__all__ = ["EdgeState"]


class EdgeState(Enum):
    """What an edge says once its source has ended. The values are positions in a `_Join`."""

    ACTIVE = 0
    INACTIVE = 1
    """Its source was Skipped."""
    FAILED = 2
    BROKEN = 3
    """Its condition could not be evaluated."""
    ALLOWED = 4
    """Active, although its source failed."""
    ABSENT = 5
    """Inactive, because its own condition is false."""
    UNSELECTED = 6
    """Its source is not of the part that the run runs: as if there were no such edge."""
