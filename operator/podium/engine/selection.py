"""Parts of a graph: the nodes that a run selects by `only` and `until` (semantics.md 3)."""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from podium.api.problems import Path, Problem
from podium.api.reasons import NodeReason
from podium.api.run import NodeState, NodeStatus, WorkflowRunSpec
from podium.engine.plan import Plan
from podium.engine.reach import descendants, with_ancestors, with_groups

__all__ = [
    "check_selection",
    "is_unselected",
    "of_selected",
    "selected_nodes",
    "unapproved",
    "unneeded_state",
    "unselected_state",
]


def selected_nodes(plan: Plan, spec: WorkflowRunSpec) -> frozenset[str] | None:
    """Return the nodes that a run runs, those of `finally` among them; None: all.

    A name that is not a node's is passed over: `check_selection` finds it. What is copied from an
    earlier run is among them.
    """
    part = _named(plan, spec)
    start = spec.from_
    if start is None or start.run is not None or start.node is None:
        return part
    if start.node not in plan.nodes:
        return part
    first = (start.node, *plan.dag.within(start.node))
    onwards = {*with_groups(plan, first), *descendants(plan, first)}
    found = frozenset(onwards if part is None else onwards & part)
    return _with_last(plan, found)


def _named(plan: Plan, spec: WorkflowRunSpec) -> frozenset[str] | None:
    if spec.only:
        known = [name for name in spec.only if name in plan.nodes]
        found = frozenset([*spec.only, *with_groups(plan, known)])
    elif spec.until:
        found = frozenset(with_ancestors(plan, set(spec.until) & plan.nodes.keys()))
    else:
        return None
    return _with_last(plan, found)


def _with_last(plan: Plan, found: frozenset[str]) -> frozenset[str]:
    """Return nodes with those of `finally`, and with their compensations."""
    undoing = (name for name, node in plan.compensations.items() if node in found)
    return found.union(plan.finally_nodes, undoing)


def check_selection(
    plan: Plan, spec: WorkflowRunSpec, selected: Collection[str] | None, base: Path = ("spec",)
) -> Iterator[Problem]:
    """Find names in `only` and `until` that are not those of nodes, or that select nothing.

    `selected` is what the run selects (`selected_nodes`).
    """
    named: list[tuple[Path, str]] = [
        ((field, position), name)
        for field in ("only", "until")
        for position, name in enumerate(getattr(spec, field))
    ]
    if spec.from_ is not None and spec.from_.node is not None:
        named.append((("from", "node"), spec.from_.node))
    for path, name in named:
        if name in plan.finally_nodes:
            message = f"{name!r:.80} is a node of finally, which runs in any case: leave it out"
            yield Problem((*base, *path), message)
        elif name in plan.compensations:
            yield Problem((*base, *path), f"{name!r:.80} is a compensation: name its node")
        elif name not in plan.nodes:
            known = ", ".join(list(plan.dag.nodes)[:10])
            message = f"unknown node {name!r:.80}: nodes are {known}"
            yield Problem((*base, *path), message)
        elif path[0] == "from" and selected is not None and name not in selected:
            message = f"{name!r:.80} is not of the part that only or until selects: select it too"
            yield Problem((*base, *path), message)
    for message in unapproved(plan, selected):
        yield Problem((*base, "only"), message)


def unapproved(plan: Plan, selected: Collection[str] | None) -> list[str]:
    """Return why a part would run without an approval that stands before it; None: all is selected.

    Edges from what is left out count for nothing, so an approval must not be above such an edge.
    """
    if selected is None:
        return []
    below = {*plan.approvals, *descendants(plan, plan.approvals)}
    edges = (
        plan.edges[index]
        for name in plan.nodes
        if name in selected
        for index in plan.nodes[name].incoming
    )
    without = (edge for edge in edges if edge.source in below and edge.source not in selected)
    return [
        f"{edge.target!r:.80} is after {edge.source!r:.80}, which is or comes after an approval: no"
        " part does without it, so select it too"
        for edge in islice(without, 10)
    ]


def is_unselected(state: NodeState) -> bool:
    """Return whether a node is not of the part that its run selected."""
    return state.status is NodeStatus.SKIPPED and state.reason == NodeReason.NOT_SELECTED


def unselected_state(now: float) -> NodeState:
    """Return the state of a node that is not of the part that its run selects."""
    return NodeState(
        status=NodeStatus.SKIPPED,
        reason=NodeReason.NOT_SELECTED.value,
        message="the run selects other nodes",
        created_at=now,
        updated_at=now,
        completed_at=now,
    )


def unneeded_state(now: float) -> NodeState:
    """Return the state of a compensation that nothing needs."""
    return NodeState(
        status=NodeStatus.SKIPPED,
        reason=NodeReason.NOT_NEEDED.value,
        created_at=now or None,
        updated_at=now or None,
    )


def of_selected(names: Iterable[str], selected: Collection[str] | None) -> list[str]:
    """Return those of nodes that are selected; None: all are."""
    return [name for name in names if selected is None or name in selected]
