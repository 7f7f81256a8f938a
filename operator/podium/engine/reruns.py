"""Requests: to run nodes again, and to go back to a context version (semantics.md 8)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from podium.api.formats import FORMAT_VERSION
from podium.api.names import item_path
from podium.api.reasons import EventReason, NodeReason
from podium.api.run import (
    HANDLED_REQUESTS,
    ContextEdit,
    ExecutionRecord,
    FormerDefinition,
    NodeState,
    NodeStatus,
)
from podium.engine.groups import clear, reset
from podium.engine.history import archive
from podium.engine.joins import Joins
from podium.engine.lifecycle import reopen
from podium.engine.model import Control, EventType, RerunRequest, ResetRequest, RestoreRequest
from podium.engine.ready_queue import ReadyQueue
from podium.engine.rebuild import rebuild
from podium.engine.rerun_plan import (
    RequestRefusedError,
    RerunPlan,
    RestorePlan,
    plan_request,
)
from podium.engine.selection import unneeded_state, unselected_state
from podium.engine.state import RunState

__all__ = ["Reruns"]

REMOVED_NODES = 100
"""States kept of nodes that a newer definition does not have."""

_OUTDATED = (
    "; the Workflow has changed since, and nodes run as the run has them: revision latest (--latest"
    " on a laptop) moves the run to what it is now"
)


class Reruns:
    """Carries out re-runs and restores of one run, each request once."""

    def __init__(self, state: RunState, queue: ReadyQueue, joins: Joins) -> None:
        self._run = state
        self._queue = queue
        self._joins = joins

    def handle(self, request: ResetRequest, control: Control) -> None:
        """Carry out a request once, or refuse it.

        A run that is suspended or held back leaves it in the queue.
        """
        run = self._run
        if request.id in run.status.handled_requests:
            return
        if run.is_finishing or run.is_rolling_back:  # it is carried out once the run has ended
            return
        if (control.suspend or control.hold is not None) and not control.cancel:
            return
        try:
            if control.cancel and run.status.started_at is not None:
                what = "terminate" if control.terminate else "cancel"
                raise RequestRefusedError(f"the run is cancelled: set spec.{what} to false first")
            planned = plan_request(run.plan, run.status, run.initial_context, request)
        except RequestRefusedError as refusal:
            is_rerun = isinstance(request, RerunRequest)
            reason = EventReason.RERUN_REFUSED if is_rerun else EventReason.RESTORE_REFUSED
            run.emit(EventType.WARNING, reason, f"{refusal}{_asked(request)}")
        else:
            if isinstance(request, RerunRequest) and isinstance(planned, RerunPlan):
                self._rerun(request, planned)
            elif isinstance(request, RestoreRequest) and isinstance(planned, RestorePlan):
                self._restore(request, planned)
        run.run_changed = True
        handled = [*run.status.handled_requests, request.id]
        run.status.handled_requests = handled[-HANDLED_REQUESTS:]

    def _rerun(self, request: RerunRequest, planned: RerunPlan) -> None:
        run = self._run
        if planned.new_base:
            self._keep_definition()
        if request.plan is not None:
            if request.initial_context is not None:
                run.initial_context = dict(request.initial_context)
            self._migrate(planned)
        if planned.edit:
            self._edit_context(request, planned.edit, {**run.context, **planned.edit})
        for node in planned.stale:
            run.touch(node).stale = True
        self._reset(planned.reset, NodeReason.RERUN, planned.items)
        again = self._run_items(planned)
        shown = [*again, *(node for node in planned.reset if not planned.items.get(node))]
        names = ", ".join(shown[:5])
        more = len(shown) - 5
        text = f"running again: {names}" + (f" +{more}" if more > 0 else "")
        if not shown:
            text = "no node does anything else than before: none runs again"
        if request.is_outdated:
            text += _OUTDATED
        text += _asked(request)
        run.emit(EventType.NORMAL, EventReason.RERUN, text)

    def _keep_definition(self) -> None:
        """Make a context version of what a newer definition changes; earlier ones stay."""
        run = self._run
        status = run.status
        status.context_version += 1
        former = FormerDefinition(
            revision=run.plan.revision or run.plan.digest,
            format_version=status.format_version,
            before_version=status.context_version,
        )
        status.workflow_revisions = [*status.workflow_revisions, former]

    def _edit_context(
        self,
        request: ResetRequest,
        edit: Mapping[str, Any],
        context: Mapping[str, Any],
        restored: int | None = None,
    ) -> None:
        run = self._run
        run.status.context_version += 1
        version = run.status.context_version
        run.status.context_edits.append(
            ContextEdit(
                version=version,
                request=request.id,
                context=dict(edit),
                at=run.now,
                restored=restored,
            )
        )
        run.context = dict(context)

    def _run_items(self, planned: RerunPlan) -> list[str]:
        """Have items of maps that go on run again; return all items that do."""
        run, found = self._run, []
        for map_, indexes in planned.items.items():
            for index in indexes or ():
                path = item_path(map_, index)
                found.append(path)
                if map_ not in planned.reset:
                    run.items.again(map_, index)
                    self._queue.add(path)
        return found

    def _reset(
        self,
        nodes: Sequence[str],
        reason: str,
        items: Mapping[str, Sequence[int] | None] = MappingProxyType({}),
    ) -> None:
        """Take nodes back to Pending, stop what runs of them, and decide them again."""
        run, joins = self._run, self._joins
        if run.counters.begun_compensations:
            from podium.engine.rollback import forget_rollback  # noqa: PLC0415 - few runs have some

            forget_rollback(run, joins, reason, lambda node: self._abandon(node, reason))
        reset(run, joins, nodes, reason, lambda node: self._abandon(node, reason), items)
        reopen(run, self._queue)
        joins.decide(sorted(set(nodes), key=lambda node: run.plan.nodes[node].index))

    def _abandon(self, node: str, reason: str) -> None:
        """Stop what runs of a node; what may have been launched before is not adopted later.

        But for what runs of a node that has ended: a predecessor launched it when it carried out
        this very request, and crashed before it wrote so. The same launch finds it.
        """
        run = self._run
        if not run.plan.nodes[node].kind.has_execution:
            return  # nothing of it runs anywhere
        status = run.status.nodes[node].status
        following = run.next_execution(node)
        if run.is_first_step and status.ended:
            if run.executions.unrecorded.get(node) == following:
                return
        elif run.is_first_step and status is not NodeStatus.RUNNING:
            run.executions.add_unrecorded(node, following)
        run.stop_current(node, reason)

    def _migrate(self, planned: RerunPlan) -> None:
        """Move the run to a newer definition."""
        run, plan = self._run, planned.plan
        states, removed = run.status.nodes, run.status.removed_nodes
        for node in run.plan.for_each:
            if node not in plan.for_each:
                run.items.remove(node)
        for node in planned.removed:
            run.stop_current(node, NodeReason.REMOVED)
            run.mark_changed(node)
            state = states.pop(node)
            if not state.status.ended:
                state.status = NodeStatus.CANCELLED
            removed[node] = state
            # The newest matter most, and the status must not grow without bound.
            while len(removed) > REMOVED_NODES:
                gone = removed.pop(next(iter(removed)))
                of_items = 0 if gone.items is None else gone.items.last_execution
                last = max(gone.last_execution_number, of_items)
                run.status.forgotten_executions = max(run.status.forgotten_executions, last)
        run.status.nodes = {
            # One that comes back goes on counting: an id of an execution is given once.
            node: states.get(node)
            or removed.pop(node, None)
            or (unneeded_state(run.now) if node in plan.compensations else None)
            or (unselected_state(run.now) if node in planned.unselected else None)
            or NodeState(
                status=NodeStatus.PENDING,
                created_at=run.now,
                updated_at=run.now,
                cancelled_launches=run.status.forgotten_executions,
            )
            for node in plan.nodes
        } | {node: state for node, state in states.items() if node.endswith("]")}
        for node, state in run.status.nodes.items():
            if state.items is not None and node not in plan.for_each:
                run.mark_changed(node)
                last = state.items.last_execution
                run.status.forgotten_executions = max(run.status.forgotten_executions, last)
                state.items = None
        for node in (*planned.changed, *planned.unselected, *plan.compensations):
            if node not in states:
                run.mark_changed(node)
        run.status.workflow_revision = plan.revision or None
        run.status.format_version = FORMAT_VERSION
        rebuild(run, self._queue, self._joins, plan, set(planned.reset))

    def _restore(self, request: RestoreRequest, planned: RestorePlan) -> None:
        """Go back to a context version: what came after it runs again."""
        context = {**planned.context, **self._run.plan.fixed_context}
        self._edit_context(request, context, context, request.version)
        for node, record in planned.restored.items():
            self._restore_execution(node, record)
        self._reset(planned.reset, NodeReason.RESTORE)
        message = f"to context version {request.version}{_asked(request)}"
        self._run.emit(EventType.NORMAL, EventReason.RESTORED, message)

    def _restore_execution(self, node: str, record: ExecutionRecord) -> None:
        """Put an earlier execution's result in place."""
        run = self._run
        state = run.status.nodes[node]
        former = state.status
        self._abandon(node, NodeReason.RESTORE)
        if state.execution_id is not None and former is not NodeStatus.READY:
            ended = former if former.ended else NodeStatus.CANCELLED
            archive(state, ended, state.reason, "", run.now)
        if former is not NodeStatus.PENDING:
            run.transition(node, NodeStatus.PENDING)
        clear(state)
        for index in run.plan.nodes[node].outgoing:
            self._joins.undecide_edge(run.plan.edges[index])
        state.output, state.output_ref = record.output, record.output_ref
        state.artifacts, state.copied_from = record.artifacts, record.copied_from
        run.transition(node, NodeStatus.COMPLETED)
        state.execution_id = record.execution_id
        state.context_version = record.context_version
        state.started_at, state.completed_at = record.started_at, record.completed_at


def _asked(request: ResetRequest) -> str:
    return f"; requested by {request.requested_by}" if request.requested_by else ""
