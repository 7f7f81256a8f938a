"""What comes before and after nodes of a plan, along edges of every type."""

from collections import deque
from collections.abc import Collection, Iterable

from podium.engine.plan import Plan

__all__ = ["descendants", "with_ancestors", "with_groups"]


def descendants(
    plan: Plan, nodes: Iterable[str], among: Collection[str] | None = None
) -> list[str]:
    """Return what comes after nodes, along edges of every type, without the nodes themselves.

    A group that comes after brings its members; one that a member comes after does not, but it
    has a new output, and what follows it comes after. `among`: what is not one of these neither
    counts nor leads on.
    """
    seen = dict.fromkeys(nodes)
    first = len(seen)
    waiting = deque(seen)
    while waiting:
        node = plan.nodes[waiting.popleft()]
        targets = [plan.edges[index].target for index in node.outgoing]
        members = [each for target in targets for each in plan.dag.within(target)]
        for found in (*targets, *members, *((node.group,) if node.group else ())):
            if found not in seen and (among is None or found in among):
                seen[found] = None
                waiting.append(found)
    return list(seen)[first:]


def with_groups(plan: Plan, nodes: Iterable[str]) -> dict[str, None]:
    """Return nodes with the members of groups among them, and the groups of members."""
    found = dict.fromkeys(nodes)
    for node in list(found):
        found.update(dict.fromkeys(plan.dag.within(node)))
    for node in list(found):
        found.update(dict.fromkeys(plan.dag.around(node)))
    return found


def with_ancestors(plan: Plan, nodes: Iterable[str]) -> set[str]:
    """Return nodes with all that comes before them, groups there with their members."""
    seen = set(with_groups(plan, nodes))
    waiting = deque(seen)
    while waiting:
        node = plan.nodes[waiting.popleft()]
        sources = [plan.edges[index].source for index in node.incoming]
        members = [each for source in sources for each in plan.dag.within(source)]
        for found in (*sources, *members, *((node.group,) if node.group else ())):
            if found not in seen:
                seen.add(found)
                waiting.append(found)
    return seen
