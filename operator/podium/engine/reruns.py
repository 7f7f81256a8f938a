"""Requests: to run nodes again, and to go back to a context version (semantics.md 8)."""

from collections import deque
from collections.abc import Iterable

from podium.api.run import (
    CONTEXT_EDITS,
    HANDLED_REQUESTS,
    ContextEdit,
    ExecutionRecord,
    NodeState,
    NodeStatus,
)
from podium.engine.history import VersionGoneError, archive, edited_context, record_at
from podium.engine.joins import Joins
from podium.engine.lifecycle import reopen
from podium.engine.model import Control, EventType, Request, RerunRequest, RestoreRequest
from podium.engine.plan import Plan
from podium.engine.ready_queue import ReadyQueue
from podium.engine.rebuild import rebuild
from podium.engine.start import check_context
from podium.engine.state import RunState

__all__ = ["Reruns"]

REMOVED_NODES = 100
"""States kept of nodes that a newer definition does not have."""

_RAN = (NodeStatus.RUNNING, NodeStatus.COMPLETED, NodeStatus.FAILED, NodeStatus.CANCELLED)


class _RefusedError(ValueError):
    """A request cannot be carried out; the message says why."""


class Reruns:
    """Carries out re-runs and restores of one run, each request once."""

    def __init__(self, state: RunState, queue: ReadyQueue, joins: Joins) -> None:
        self._run = state
        self._queue = queue
        self._joins = joins

    def handle(self, request: Request, control: Control) -> None:
        """Carry out a request once, or refuse it; a suspended run leaves it in the queue."""
        run = self._run
        if request.id in run.status.handled_requests:
            return
        if control.suspend and not control.cancel:
            return
        try:
            if run.status.started_at is None:
                raise _RefusedError("the run has not started")
            if control.cancel:
                raise _RefusedError("the run is cancelled: set spec.cancel to false first")
            if isinstance(request, RerunRequest):
                self._rerun(request)
            else:
                self._restore(request)
        except _RefusedError as refusal:
            reason = "RerunRefused" if isinstance(request, RerunRequest) else "RestoreRefused"
            run.emit(EventType.WARNING, reason, str(refusal))
        run.run_changed = True
        handled = [*run.status.handled_requests, request.id]
        run.status.handled_requests = handled[-HANDLED_REQUESTS:]

    # Re-run

    def _rerun(self, request: RerunRequest) -> None:
        run = self._run
        plan = request.plan or run.plan
        unknown = [node for node in request.nodes if node not in plan.nodes]
        if unknown:
            known = ", ".join(list(plan.nodes)[:10])
            raise _RefusedError(f"unknown node {', '.join(unknown)}: nodes are {known}")
        if request.context:
            self._edit_context(plan, request)
        targets = dict.fromkeys(request.nodes)
        if request.plan is not None:
            if request.initial_context is not None:
                run.initial_context = dict(request.initial_context)
            targets.update(dict.fromkeys(self._migrate(request.plan)))
        elif not targets:
            raise _RefusedError("no node is named")
        after = _descendants(run.plan, targets)
        if request.cascade or request.plan is not None:
            targets.update(dict.fromkeys(after))
        else:
            for node in after:
                self._mark_stale(node, targets)
        self._reset(list(targets), "Rerun")
        names = ", ".join(list(targets)[:5]) + (f" +{len(targets) - 5}" if len(targets) > 5 else "")
        run.emit(EventType.NORMAL, "Rerun", f"running again: {names}")

    def _edit_context(self, plan: Plan, request: RerunRequest) -> None:
        run = self._run
        given = request.context or {}
        context = {**run.context, **given}
        if problems := check_context(plan, context):
            raise _RefusedError("; ".join(str(problem) for problem in problems))
        self._check_edits()
        run.status.context_version += 1
        run.status.context_edits.append(
            ContextEdit(version=run.status.context_version, request=request.id, context=dict(given))
        )
        run.context = context

    def _mark_stale(self, node: str, targets: dict[str, None]) -> None:
        """Leave a descendant as it is, marked; one that has not started waits again."""
        state = self._run.status.nodes[node]
        if state.status is NodeStatus.READY and node not in targets:
            targets[node] = None
        elif state.status in (NodeStatus.RUNNING, NodeStatus.COMPLETED, NodeStatus.FAILED):
            self._run.touch(node).stale = True

    def _reset(self, nodes: list[str], reason: str) -> None:
        """Take nodes back to Pending, stop what runs of them, and decide them again."""
        run, joins = self._run, self._joins
        for node in nodes:
            state = run.status.nodes[node]
            former = state.status
            self._abandon(node, reason)
            if state.execution_id is not None and former in _RAN:
                ended = former if former.ended else NodeStatus.CANCELLED
                why = state.reason if former.ended else reason
                archive(state, ended, why, state.message, run.now)
            if former is not NodeStatus.PENDING:
                run.transition(node, NodeStatus.PENDING)
            _clear(run.touch(node))
        edges = run.plan.edges
        for node in nodes:
            planned = run.plan.nodes[node]
            for index in (*planned.incoming, *planned.outgoing):
                joins.undecide_edge(edges[index])
        for node in nodes:
            for index in run.plan.nodes[node].incoming:
                joins.decide_edge(edges[index])
        reopen(run, self._queue)
        joins.decide(sorted(set(nodes), key=lambda node: run.plan.nodes[node].index))

    def _abandon(self, node: str, reason: str) -> None:
        """Stop what runs of a node; what may have been launched before is not adopted later."""
        run = self._run
        status = run.status.nodes[node].status
        if run.is_first_step and not status.ended and status is not NodeStatus.RUNNING:
            run.executions.add_unrecorded(node, run.next_execution(node))
        run.stop_current(node, reason)

    def _migrate(self, plan: Plan) -> list[str]:
        """Move the run to a newer definition; return the nodes that must run (again)."""
        run = self._run
        old, states = run.plan, run.status.nodes
        removed = run.status.removed_nodes
        for node in [name for name in states if name not in plan.nodes]:
            run.stop_current(node, "Removed")
            run.mark_changed(node)
            state = states.pop(node)
            if not state.status.ended:
                state.status = NodeStatus.CANCELLED
            removed[node] = state
            # The newest matter most, and the status must not grow without bound.
            while len(removed) > REMOVED_NODES:
                last = removed.pop(next(iter(removed))).last_execution_number
                run.status.forgotten_executions = max(run.status.forgotten_executions, last)
        changed = [
            node.id
            for node in plan.nodes.values()
            if node.id not in old.nodes or old.nodes[node.id].digest != node.digest
        ]
        run.status.nodes = {
            # One that comes back goes on counting: an id of an execution is given once.
            node: states.get(node)
            or removed.pop(node, None)
            or NodeState(
                status=NodeStatus.PENDING,
                created_at=run.now,
                updated_at=run.now,
                cancelled_launches=run.status.forgotten_executions,
            )
            for node in plan.nodes
        }
        for node in changed:
            if node not in states:
                run.mark_changed(node)
        run.status.workflow_revision = plan.revision or None
        leave = {*changed, *_descendants(plan, changed)}
        rebuild(run, self._queue, self._joins, plan, leave)
        return changed

    # Restore

    def _restore(self, request: RestoreRequest) -> None:
        """Go back to a context version: what came after it runs again."""
        run = self._run
        status = run.status
        version = request.version
        if not 0 <= version <= status.context_version:
            raise _RefusedError(
                f"there is no context version {version}: versions are 0 to {status.context_version}"
            )
        self._check_edits()
        try:
            kept = {
                node: record_at(status, node, state, version)
                for node, state in status.nodes.items()
            }
        except VersionGoneError as error:
            raise _RefusedError(str(error)) from None
        context = edited_context(run.initial_context, status.context_edits, version)
        changed = {
            node: record
            for node, record in kept.items()
            if record is None or record.execution_id != status.nodes[node].execution_id
        }
        status.context_version += 1
        status.context_edits.append(
            ContextEdit(
                version=status.context_version,
                request=request.id,
                context=context,
                restored=version,
            )
        )
        run.context = context
        for node, record in changed.items():
            if record is not None:
                self._restore_execution(node, record)
        self._reset([node for node, record in changed.items() if record is None], "Restore")
        run.emit(EventType.NORMAL, "Restored", f"to context version {version}")

    def _restore_execution(self, node: str, record: ExecutionRecord) -> None:
        """Put an earlier execution's result in place."""
        run = self._run
        state = run.status.nodes[node]
        former = state.status
        self._abandon(node, "Restore")
        if state.execution_id is not None and former is not NodeStatus.READY:
            ended = former if former.ended else NodeStatus.CANCELLED
            archive(state, ended, state.reason, "", run.now)
        if former is not NodeStatus.PENDING:
            run.transition(node, NodeStatus.PENDING)
        _clear(state)
        for index in run.plan.nodes[node].outgoing:
            self._joins.undecide_edge(run.plan.edges[index])
        state.output = record.output
        run.transition(node, NodeStatus.COMPLETED)
        state.execution_id = record.execution_id
        state.context_version = record.context_version
        state.started_at, state.completed_at = record.started_at, record.completed_at

    def _check_edits(self) -> None:
        if len(self._run.status.context_edits) >= CONTEXT_EDITS:
            raise _RefusedError(
                f"the context was changed {CONTEXT_EDITS} times, which is the limit: re-run without"
                " a context, or make a new run"
            )


def _descendants(plan: Plan, nodes: Iterable[str]) -> list[str]:
    seen = dict.fromkeys(nodes)
    first = len(seen)
    waiting = deque(seen)
    while waiting:
        for index in plan.nodes[waiting.popleft()].outgoing:
            target = plan.edges[index].target
            if target not in seen:
                seen[target] = None
                waiting.append(target)
    return list(seen)[first:]


def _clear(state: NodeState) -> None:
    """Take a node's state back to its beginning; counts and history stay."""
    state.execution_id = None
    state.started_at = state.completed_at = state.duration_seconds = None
    state.next_attempt_at = state.launched_at = state.deadline = None
    state.output = None
    state.error = None
    state.warnings = []
    state.retry_count = state.disruptions = 0
    state.quality_score = None
    state.contract_fulfilled = None
    state.context_version = None
    state.stale = False
