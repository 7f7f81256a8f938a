"""Where what a node left is in the store."""

from collections.abc import Mapping
from typing import NamedTuple

from podium.api.run import NodeState

__all__ = ["Found", "Left", "left_in"]


class Left(NamedTuple):
    """What the latest execution of a node left."""

    execution: str
    digest: str
    """Of its manifest; empty: it left nothing."""
    run: str = ""
    """UID of another run whose execution it is; empty: it is of this one."""


Found = Mapping[str, Left]
"""What Completed nodes left, by node."""


def left_in(state: NodeState) -> Left:
    """Return what a node left, by its state."""
    digest, origin = state.artifacts or "", state.copied_from
    if origin is not None:
        return Left(origin.execution_id, digest, origin.uid)
    return Left(state.execution_id or "", digest)
