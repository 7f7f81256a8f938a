"""What comes before and after nodes of a plan, along edges of every type."""

from collections import deque
from collections.abc import Collection, Iterable

from podium.engine.plan import Plan

__all__ = ["descendants", "with_ancestors"]


def descendants(
    plan: Plan, nodes: Iterable[str], among: Collection[str] | None = None
) -> list[str]:
    """Return what comes after nodes, along edges of every type, without the nodes themselves.

    `among`: what is not one of these neither counts nor leads on.
    """
    seen = dict.fromkeys(nodes)
    first = len(seen)
    waiting = deque(seen)
    while waiting:
        for index in plan.nodes[waiting.popleft()].outgoing:
            target = plan.edges[index].target
            if target not in seen and (among is None or target in among):
                seen[target] = None
                waiting.append(target)
    return list(seen)[first:]


def with_ancestors(plan: Plan, nodes: Iterable[str]) -> set[str]:
    """Return nodes with all that comes before them."""
    seen = set(nodes)
    waiting = deque(seen)
    while waiting:
        for index in plan.nodes[waiting.popleft()].incoming:
            source = plan.edges[index].source
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    return seen
