"""The list of a map: what `forEach` gives, and how long it may be."""

from typing import Any

from podium import kinds
from podium.api.names import MAX_ITEMS
from podium.api.reasons import NodeReason
from podium.api.workflow import Node
from podium.errors import PodiumError
from podium.expressions.functions import kind_of

__all__ = ["ItemsError", "list_of"]


class ItemsError(PodiumError):
    """A map has no items that could run; `reason` is one word for its state."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def list_of(value: Any, definition: Node, most_jobs: int) -> list[Any]:
    """Return the items that `forEach` gives; `most_jobs` may run a program. Raises `ItemsError`."""
    if isinstance(value, dict):
        values: list[Any] = [{"key": key, "value": value[key]} for key in value]
    elif isinstance(value, list):
        values = value
    else:
        message = f"forEach gives {kind_of(value)}, and must give a list or an object"
        raise ItemsError(NodeReason.NOT_A_LIST, message)
    most, reason, why = kinds.most_items(definition), NodeReason.TOO_MANY_ITEMS, ""
    if most < MAX_ITEMS:
        why = " where each is a child run"
    elif most_jobs < most:
        most, reason = most_jobs, NodeReason.NEEDS_MANAGED_JOBS
        why = " where each has a Job of its own"
    if len(values) > most:
        message = f"forEach gives {len(values)} items, and {most} are the limit{why}"
        raise ItemsError(reason, message)
    return values
