"""Approvals that a re-run makes ask again: what would run is not what was approved."""

from collections.abc import Iterable, Iterator

from podium.api.run import NodeState, WorkflowRunStatus
from podium.engine.plan import Plan
from podium.engine.reach import with_ancestors

__all__ = ["approvals_before"]


def approvals_before(
    plan: Plan, status: WorkflowRunStatus, nodes: Iterable[str], *, is_edited: bool
) -> Iterator[str]:
    """Return the approvals that must ask again: what they asked about is not what would run.

    Where the request edits the context or the definition: those upstream of nodes that run again,
    or that have not ended and so read what is new. Else those upstream of nodes that run again, if
    something was edited, or run again upstream of them, since they were answered.
    """
    asked = [
        node
        for node in plan.nodes
        if node in plan.approvals
        and (state := status.nodes.get(node)) is not None
        and state.execution_id is not None
    ]
    if not asked:
        return
    targets = set(nodes)
    again = with_ancestors(plan, targets)
    unended = (
        node
        for node, state in status.nodes.items()
        if node in plan.nodes and (node in targets or not state.status.ended)
    )
    edited = with_ancestors(plan, unended) if is_edited else frozenset()
    for approval in asked:
        outdated = approval in again and _is_outdated(status, status.nodes[approval])
        if outdated or approval in edited:
            yield approval


def _is_outdated(status: WorkflowRunStatus, state: NodeState) -> bool:
    """Return whether something was edited, or ran again upstream, since an approval was given."""
    answered = state.context_version
    if state.stale or answered is None:
        return state.stale
    return any(former.before_version > answered for former in status.workflow_revisions) or any(
        edit.version > answered and (edit.restored is None or edit.restored < answered)
        for edit in status.context_edits
    )
