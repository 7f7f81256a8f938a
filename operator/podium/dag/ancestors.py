"""What lies before a node, and what goes round in a circle."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["NEAREST", "cycles", "nearest_ancestors"]

NEAREST = 200
"""How many ancestors' outputs are delivered without being named: a chain of thousands of nodes
would otherwise hand the whole run to each node (semantics.md 2)."""


def nearest_ancestors(
    sources: Mapping[str, tuple[str, ...]],
    node: str,
    limit: int = NEAREST,
    beyond: Sequence[str] = (),
) -> list[str]:
    """Return all direct ancestors along `sources` (by node) and up to `limit` farther ones.

    The nearest come first. `beyond` are farther than these, and what is before them farther still.
    """
    found = dict.fromkeys(sources[node])
    limit += len(found)
    _search(sources, found, limit)
    if beyond:
        found.update(dict.fromkeys(beyond))
        _search(sources, found, limit)
    return list(found)[:limit]


def _search(sources: Mapping[str, tuple[str, ...]], found: dict[str, None], limit: int) -> None:
    """Add what is before the nodes found, until there are so many."""
    waiting = deque(found)
    while waiting and len(found) < limit:
        for source in sources[waiting.popleft()]:
            if source not in found:
                found[source] = None
                waiting.append(source)


def cycles(graph: "nx.DiGraph[str]", position: Mapping[str, int]) -> list[list[str]]:
    """Return one cycle of each strongly connected part, as `[a, b, c]` for a → b → c → a.

    `position` is that of each node in the definition: a cycle begins with its first one.
    """
    import networkx as nx  # noqa: PLC0415 - only on the way to an error

    found = []
    for component in nx.strongly_connected_components(graph):
        if len(component) > 1:
            start = min(component, key=position.__getitem__)
            edges = nx.find_cycle(graph.subgraph(component), start)
            cycle = [source for source, _ in edges]
            turn = cycle.index(min(cycle, key=position.__getitem__))
            found.append(cycle[turn:] + cycle[:turn])
    return sorted(found, key=lambda cycle: position[cycle[0]])
