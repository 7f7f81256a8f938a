"""Groups and their members, by the paths of these (`group.member`), as commands show them."""

from collections.abc import Iterator, Mapping

from podium.api.names import compensated_path
from podium.api.reasons import NodeReason
from podium.api.run import NodeState, NodeStatus
from podium.cli.items import is_item

__all__ = ["folded", "groups_of", "is_of", "is_unneeded", "members_of", "needed"]

_FOLDED = (NodeStatus.COMPLETED, NodeStatus.SKIPPED)


def is_of(node: str, wanted: str | None) -> bool:
    """Return whether a node is the one that is wanted, or in that group or map; None: all are."""
    return wanted is None or node == wanted or node.startswith((f"{wanted}.", f"{wanted}["))


def groups_of(node: str) -> Iterator[str]:
    """Return the groups that a node is in, the nearest first."""
    node = compensated_path(node) or node
    while node := node.rpartition(".")[0]:
        yield node


def members_of(group: str, nodes: Mapping[str, NodeState]) -> list[str]:
    """Return all that is in a group but for items of maps, and the compensation of a node."""
    inside = (node for node in needed(nodes) if node.startswith(f"{group}."))
    return [node for node in inside if not is_item(node)]


def needed(nodes: Mapping[str, NodeState]) -> dict[str, NodeState]:
    """Return the nodes without compensations that nothing needs: they are worth no line."""
    return {node: state for node, state in nodes.items() if not is_unneeded(state)}


def is_unneeded(state: NodeState) -> bool:
    """Return whether a node is a compensation that nothing needs."""
    return state.status is NodeStatus.SKIPPED and state.reason == NodeReason.NOT_NEEDED


def folded(nodes: Mapping[str, NodeState]) -> dict[str, int]:
    """Return the groups whose members need no line of their own, with how many these are.

    They have ended, and nothing in them asks for a look.
    """
    counts: dict[str, int] = {}
    shown: set[str] = set()
    for node, state in needed(nodes).items():
        if is_item(node):
            continue
        for group in groups_of(node):
            if compensated_path(node) is None:
                counts[group] = counts.get(group, 0) + 1
            if state.status not in _FOLDED or state.stale:
                shown.add(group)
    return {
        group: count
        for group, count in counts.items()
        if group not in shown and nodes[group].status in _FOLDED and not nodes[group].stale
    }
