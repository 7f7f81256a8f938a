"""Groups and their members, by the paths of these (`group.member`), as commands show them."""

from collections.abc import Iterable, Iterator, Mapping

from podium.api.run import NodeState, NodeStatus

__all__ = ["folded", "groups_of", "is_of", "members_of"]

_FOLDED = (NodeStatus.COMPLETED, NodeStatus.SKIPPED)


def is_of(node: str, wanted: str | None) -> bool:
    """Return whether a node is the one that is wanted, or is in that group; None: all are."""
    return wanted is None or node == wanted or node.startswith(f"{wanted}.")


def groups_of(node: str) -> Iterator[str]:
    """Return the groups that a node is in, the nearest first."""
    while node := node.rpartition(".")[0]:
        yield node


def members_of(group: str, nodes: Iterable[str]) -> list[str]:
    """Return all that is in a group."""
    return [node for node in nodes if node.startswith(f"{group}.")]


def folded(nodes: Mapping[str, NodeState]) -> dict[str, int]:
    """Return the groups whose members need no line of their own, with how many these are.

    They have ended, and nothing in them asks for a look.
    """
    counts: dict[str, int] = {}
    shown: set[str] = set()
    for node, state in nodes.items():
        for group in groups_of(node):
            counts[group] = counts.get(group, 0) + 1
            if state.status not in _FOLDED or state.stale:
                shown.add(group)
    return {
        group: count
        for group, count in counts.items()
        if group not in shown and nodes[group].status in _FOLDED and not nodes[group].stale
    }
