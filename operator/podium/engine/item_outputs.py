"""The output of a map, which is made of those of its items and stored nowhere else."""

from collections.abc import Mapping
from typing import Any

from podium.api.names import item_path
from podium.api.node_state import NodeState

__all__ = ["output_of_items"]


def output_of_items(node: str, states: Mapping[str, NodeState]) -> dict[str, Any] | None:
    """Return the output of a map: what its items handed over, in order."""
    items = states[node].items
    if items is None:
        return None
    outputs: list[Any] = [None] * items.count
    for index in items.completed:
        state = states.get(item_path(node, index))
        outputs[index] = {} if state is None or state.output is None else state.output
    return {
        "items": outputs,
        "succeeded": len(items.completed),
        "failed": len(items.failed),
        "skipped": len(items.skipped),
    }
