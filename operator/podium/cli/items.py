"""Items of maps, by their paths (`node[3]`), as commands show them."""

from collections.abc import Iterator, Mapping

from podium.api.names import item_path, split_item
from podium.api.node_state import ItemsState
from podium.api.run import NodeState, NodeStatus, WorkflowRunStatus
from podium.cli.output import CliError

__all__ = ["is_item", "items_text", "nodes_in_order", "require_node", "state_of"]

SHOWN = 10
"""Items of a map that have a line of their own: those that run, or failed."""
_LOUD = (NodeStatus.RUNNING, NodeStatus.FAILED, NodeStatus.READY)


def is_item(node: str) -> bool:
    """Return whether a path is that of an item."""
    return split_item(node) is not None


def items_text(items: ItemsState) -> str:
    """Return how the items of a map stand: `3 of 5 items, 1 failed`."""
    words = f"{len(items.completed)} of {items.count} item{'' if items.count == 1 else 's'}"
    if items.failed:
        words += f", {len(items.failed)} failed"
    if items.skipped:
        words += f", {len(items.skipped)} skipped"
    return words


def nodes_in_order(nodes: Mapping[str, NodeState]) -> Iterator[tuple[str, NodeState]]:
    """Return nodes in the definition's order, each map with the items that ask for a look.

    Those that failed or run, ten at most: all others are counted on the line of their map.
    """
    loud: dict[str, list[tuple[int, str]]] = {}
    for node, state in nodes.items():
        item = split_item(node)
        if item is not None and state.status in _LOUD:
            loud.setdefault(item[0], []).append((item[1], node))
    for node, state in nodes.items():
        if is_item(node):
            continue
        yield node, state
        if node in loud:
            failed = [n for n in sorted(loud[node]) if nodes[n[1]].status is NodeStatus.FAILED]
            others = [n for n in sorted(loud[node]) if nodes[n[1]].status is not NodeStatus.FAILED]
            for _, name in sorted([*failed, *others][:SHOWN]):
                yield name, nodes[name]


def state_of(status: WorkflowRunStatus, node: str) -> NodeState | None:
    """Return the state of a node or an item, as far as it is kept; None: there is none."""
    state = status.nodes.get(node)
    item = split_item(node)
    if state is not None or item is None:
        return state
    whole = status.nodes.get(item[0])
    if whole is None or whole.items is None or item[1] >= whole.items.count:
        return None
    items = whole.items
    ends = {
        NodeStatus.COMPLETED: items.completed,
        NodeStatus.FAILED: items.failed,
        NodeStatus.SKIPPED: items.skipped,
    }
    for ended, indexes in ends.items():
        if item[1] in indexes:
            return NodeState(status=ended, output={} if ended is NodeStatus.COMPLETED else None)
    ended = NodeStatus.CANCELLED if whole.status.ended else NodeStatus.PENDING
    return NodeState(status=ended)


def require_node(run: str, status: WorkflowRunStatus, node: str) -> NodeState:
    """Return the state of a node or an item. Raises `CliError`."""
    state = state_of(status, node)
    if state is not None:
        return state
    item = split_item(node)
    if item is not None and (whole := status.nodes.get(item[0])) is not None:
        count = whole.items.count if whole.items is not None else 0
        last = item_path(item[0], count - 1)
        known = f"{item[0]} has {last} as its last item" if count else f"{item[0]} has no items"
        raise CliError(f"run {run} has no node {node!r:.80}: {known}")
    known = ", ".join([each for each in status.nodes if not is_item(each)][:10])
    raise CliError(f"run {run} has no node {node!r:.80}: nodes are {known}")
