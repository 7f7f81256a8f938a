"""Nodes that were undone by a rollback: nothing may rely on what they did."""

from podium.api.names import compensation_path
from podium.api.run import NodeState, NodeStatus, WorkflowRunStatus
from podium.engine.plan import Plan
from podium.engine.reach import descendants, with_ancestors

__all__ = ["undone_between", "undone_nodes", "was_undone"]


def was_undone(compensation: NodeState) -> bool:
    """Return whether a compensation began: one that failed may have undone a part."""
    if compensation.status is NodeStatus.COMPLETED:
        return True
    has_failed = compensation.status in (NodeStatus.FAILED, NodeStatus.CANCELLED)
    return has_failed and compensation.execution_id is not None


def undone_nodes(plan: Plan, status: WorkflowRunStatus) -> list[str]:
    """Return the nodes of a plan that were undone, in its order."""
    found = []
    for node in plan.nodes:
        state = status.nodes.get(node)
        if state is None or state.status is not NodeStatus.COMPLETED:
            continue
        # By the status alone: a newer definition may have no compensation of it.
        compensation = status.nodes.get(compensation_path(node))
        if compensation is not None and was_undone(compensation):
            found.append(node)
    return found


def undone_between(plan: Plan, undone: list[str], nodes: list[str]) -> dict[str, None]:
    """Return what comes after nodes that were undone, and before nodes that run again."""
    before = with_ancestors(plan, nodes) if undone else set()
    return dict.fromkeys(node for node in descendants(plan, undone) if node in before)
