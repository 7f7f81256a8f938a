"""Groups: how members begin with their group, end with it, and are reset (semantics.md 9)."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from podium import kinds
from podium.api.reasons import NodeReason
from podium.api.run import NodeState, NodeStatus
from podium.engine.context import output_of
from podium.engine.history import archive
from podium.engine.plan import PlanNode
from podium.engine.selection import is_unselected
from podium.engine.state import RunState

if TYPE_CHECKING:
    from podium.engine.joins import Joins

__all__ = ["clear", "end_members", "is_waiting", "member_ends", "open_members", "reset"]

_RAN = (
    *(NodeStatus.RUNNING, NodeStatus.COMPLETED, NodeStatus.FAILED, NodeStatus.CANCELLED),
    NodeStatus.SKIPPED,  # an approval whose time was over
)


def is_waiting(run: RunState, node: PlanNode) -> bool:
    """Return whether a member must wait for its group to begin."""
    return run.status.nodes[node.group].status is not NodeStatus.RUNNING


def member_ends(run: RunState, group: str) -> list[kinds.MemberEnd]:
    """Return how the members of a group ended."""
    found = []
    for name in run.plan.members.get(group, ()):
        state, node = run.status.nodes[name], run.plan.nodes[name]
        is_done = state.status is NodeStatus.COMPLETED
        found.append(
            kinds.MemberEnd(
                id=name.rpartition(".")[2],
                status=state.status,
                reason=state.reason,
                is_bad=_is_bad(node, state),
                output=output_of(run.plan, name, run.status.nodes) if is_done else None,
            )
        )
    return found


def _is_bad(node: PlanNode, state: NodeState) -> bool:
    match state.status:
        case NodeStatus.FAILED:
            return not node.definition.allow_failure
        case NodeStatus.SKIPPED:
            return state.reason == NodeReason.UPSTREAM_FAILED
        case status:
            return status is NodeStatus.CANCELLED


def open_members(run: RunState, joins: "Joins", group: str) -> list[str]:
    """Return the members that are decided now that their group has begun.

    A retry runs all of them again; else those that have ended stay, as in the re-run of another.
    """
    if run.status.nodes[group].retry_count:
        states = run.status.nodes
        members = [m for m in run.plan.dag.within(group) if not is_unselected(states[m])]
        # What has ended is not abandoned: after a crash, its next execution may be there already.
        reset(run, joins, members, NodeReason.GROUP_ENDED, lambda node: _stop_open(run, node))
        run.executions.changes += 1  # what was held before they were reset may be so no longer
    return list(run.plan.members[group])


def _stop_open(run: RunState, node: str) -> None:
    if not run.status.nodes[node].status.ended:
        run.stop_current(node, NodeReason.GROUP_ENDED)


def end_members(run: RunState, group: str) -> None:
    """End what has not ended of a group that has, or that is stopped.

    They count only through their group, so nothing else follows from it.
    """
    why = run.status.nodes[group]
    has_begun = why.status is NodeStatus.RUNNING or why.started_at is not None
    reason = NodeReason.GROUP_ENDED if has_begun else NodeReason.GROUP_SKIPPED
    message = f"its group {group} {'was stopped' if has_begun else 'did not begin'}"
    for node in run.plan.dag.within(group):
        state = run.status.nodes[node]
        if state.status.ended:
            continue
        run.stop_current(node, reason)
        is_running = state.status is NodeStatus.RUNNING
        if has_begun or state.status in (NodeStatus.READY, NodeStatus.RUNNING):
            run.transition(node, NodeStatus.CANCELLED, reason, message)
        else:
            run.transition(node, NodeStatus.SKIPPED, reason, message)
        if is_running or state.status is NodeStatus.SKIPPED:
            state.completed_at = run.now


def reset(
    run: RunState,
    joins: "Joins",
    nodes: Sequence[str],
    reason: str,
    abandon: Callable[[str], None],
    items: Mapping[str, Sequence[int] | None] = MappingProxyType({}),
) -> None:
    """Take nodes back to Pending, and forget what edges said of them; the caller decides them.

    `abandon` stops what runs of a node. `items`: maps of which only some items run again.
    """
    for node in nodes:
        state = run.status.nodes[node]
        former = state.status
        abandon(node)
        if node in items:
            run.items.keep(node, items[node])
        elif node in run.plan.for_each:
            run.items.reset(node)
        if state.execution_id is not None and former in _RAN:
            ended = former if former.ended else NodeStatus.CANCELLED
            why = state.reason if former.ended else reason
            archive(state, ended, why, state.message, run.now)
        if former is not NodeStatus.PENDING:
            run.transition(node, NodeStatus.PENDING)
        clear(run.touch(node))
    edges = run.plan.edges
    for node in nodes:
        planned = run.plan.nodes[node]
        for index in (*planned.incoming, *planned.outgoing):
            joins.undecide_edge(edges[index])
    for node in nodes:
        for index in run.plan.nodes[node].incoming:
            joins.decide_edge(edges[index])


def clear(state: NodeState) -> None:
    """Take a node's state back to its beginning; counts and history stay."""
    state.execution_id = None
    state.started_at = state.completed_at = state.duration_seconds = None
    state.next_attempt_at = state.launched_at = state.deadline = None
    state.output = state.output_ref = None
    state.error = None
    state.warnings = []
    state.retry_count = state.disruptions = 0
    state.quality_score = None
    state.contract_fulfilled = None
    state.context_version = None
    state.copied_from = None
    state.stale = False
