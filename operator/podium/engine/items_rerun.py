"""What a request to run items of maps again does (semantics.md 8)."""

from collections.abc import Iterable

from podium.api.names import split_item
from podium.api.run import NodeStatus, WorkflowRunStatus
from podium.engine.item_ends import is_ended
from podium.engine.model import RerunRequest
from podium.engine.plan import Plan
from podium.errors import PodiumError

__all__ = ["RequestRefusedError", "items_asked", "map_of"]


class RequestRefusedError(PodiumError, ValueError):
    """A request cannot be carried out; the message says why."""


def map_of(plan: Plan, node: str) -> str:
    """Return the map of an item, and any other node as it is."""
    item = split_item(node)
    return item[0] if item is not None and item[0] in plan.for_each else node


def items_asked(
    plan: Plan, status: WorkflowRunStatus, request: RerunRequest, asked: Iterable[str]
) -> dict[str, tuple[int, ...] | None]:
    """Return the maps of which only some items run again: these, or (None) what did not complete.

    Raises `RequestRefusedError`.
    """
    if not plan.for_each:
        return {}
    found: dict[str, tuple[int, ...] | None] = {}
    for node in request.nodes:
        item = split_item(node)
        if item is None or item[0] not in plan.for_each:
            continue
        map_, index = item
        _require_ended(status, map_, index)
        found[map_] = (*(found.get(map_) or ()), index)
    for node in asked:
        if node not in plan.for_each or node not in status.nodes:
            continue
        state = status.nodes[node]
        is_begun = state.items is not None and state.items.digest != ""
        if node in request.nodes:
            found.pop(node, None)
        elif request.failed and is_begun:
            found[node] = None
    return found


def _require_ended(status: WorkflowRunStatus, map_: str, index: int) -> None:
    state = status.nodes.get(map_)
    items = state.items if state is not None else None
    if state is None or items is None or not items.digest:
        raise RequestRefusedError(f"{map_} has no items yet: re-run {map_}")
    if index >= items.count:
        known = f"items are 0 to {items.count - 1}" if items.count else "there is none"
        raise RequestRefusedError(f"{map_} has no item {index}: {known}")
    is_open = f"{map_}[{index}]" in status.nodes and not is_ended(items, index)
    if is_open or (state.status is NodeStatus.RUNNING and not is_ended(items, index)):
        message = (
            f"{map_}[{index}] has not ended: only items that have ended run again by themselves"
        )
        raise RequestRefusedError(message)
    if not state.status.ended and state.status is not NodeStatus.RUNNING:
        raise RequestRefusedError(f"{map_} is about to run again: its items run with it")
