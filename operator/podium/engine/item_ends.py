"""How items of maps ended, as the ranges on their map say."""

from typing import TYPE_CHECKING

from podium import kinds
from podium.api.names import item_path
from podium.api.node_state import ItemsState, NodeState

if TYPE_CHECKING:
    from podium.engine.state import RunState

__all__ = ["ended_items", "is_ended", "items_of"]

_SHOWN = 5


def items_of(state: NodeState) -> ItemsState:
    """Return how the items of a map stand that has begun."""
    if state.items is None:
        state.items = ItemsState()
    return state.items


def is_ended(items: ItemsState, index: int) -> bool:
    """Return whether an item has ended, as the ranges say."""
    return index in items.completed or index in items.failed or index in items.skipped


def ended_items(run: "RunState", map_: str) -> kinds.ItemEnds:
    """Return how the items of a map ended."""
    items = run.status.nodes[map_].items or ItemsState()
    shown = []
    for index in items.failed:
        path = item_path(map_, index)
        state = run.status.nodes.get(path)
        shown.append(path if state is None else f"{path} ({state.reason})")
        if len(shown) == _SHOWN:
            break
    return kinds.ItemEnds(
        items.count,
        len(items.completed),
        len(items.failed),
        len(items.skipped),
        tuple(shown),
    )
