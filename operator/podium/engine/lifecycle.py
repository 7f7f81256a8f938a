"""Lifecycle of a run: its start, its phase by its nodes, its end, and its reopening."""

from podium.api.base import format_duration
from podium.api.reasons import EventReason, NodeReason, RunReason
from podium.api.run import ConditionStatus, NodeStatus, RunPhase
from podium.engine.conditions import clear_end, set_condition, set_end
from podium.engine.joins import Joins
from podium.engine.model import Control, EventType, Hold
from podium.engine.outcomes import cancel_pending, finish_without_execution
from podium.engine.ready_queue import HOLD_SECONDS, ReadyQueue
from podium.engine.run_outcome import ending_of, outcome
from podium.engine.run_outputs import evaluate_outputs
from podium.engine.state import RUN, RunState

__all__ = ["begin", "begin_finally", "finish", "hold_back", "reopen"]

_END_EVENTS = {
    RunPhase.SUCCEEDED: EventReason.RUN_SUCCEEDED,
    RunPhase.FAILED: EventReason.RUN_FAILED,
    RunPhase.CANCELLED: EventReason.RUN_CANCELLED,
}


def begin(run: RunState, queue: ReadyQueue, joins: Joins) -> None:
    """Start the run: its nodes are decided."""
    run.status.started_at = run.now
    _set_running(run, queue)
    who = run.status.requested_by
    asked = f", requested by {who}" if who is not None else ""
    run.emit(EventType.NORMAL, EventReason.RUN_STARTED, f"{_number_of(run)}{asked}")
    if run.counters.open < len(run.plan.nodes):  # what is copied, or left out
        joins.decide_edges()
    joins.decide(list(run.plan.nodes))


def hold_back(run: RunState, hold: Hold) -> None:
    """Keep a run from beginning: it waits, and says why, or it fails and nothing of it runs."""
    status = run.status
    if hold.failures:
        status.started_at = run.now
        run.held_back = hold
        for node in run.plan.nodes:
            if node in hold.failures:
                message = hold.failures[node]
                finish_without_execution(run, node, NodeStatus.FAILED, hold.reason, message)
        message = "the run was not started"
        cancel_pending(run, NodeReason.RUN_NOT_STARTED, message, with_finally=True)
        return
    if status.phase is not RunPhase.PENDING:  # it was suspended
        status.phase = RunPhase.PENDING
        run.run_changed = True
    unknown = ConditionStatus.UNKNOWN
    if set_condition(status, run.now, "Succeeded", unknown, hold.reason, hold.message):
        run.run_changed = True
        run.emit(EventType.WARNING, hold.reason, hold.message)


def _number_of(run: RunState) -> str:
    count = len(run.plan.dag.nodes)
    return "1 node" if count == 1 else f"{count} nodes"


def reopen(run: RunState, queue: ReadyQueue) -> None:
    """Set an ended run going again."""
    run.held_back = None
    run.output_values = {}
    run.questions.drop(RUN)
    if run.status.phase.ended:
        run.status.completed_at = run.status.duration = run.status.outputs = None
        run.status.finishing_since = run.ending = None
        clear_end(run.status)
        _set_running(run, queue)


def _set_running(run: RunState, queue: ReadyQueue) -> None:
    run.run_changed = True
    run.status.phase = RunPhase.RUNNING
    set_condition(run.status, run.now, "Succeeded", ConditionStatus.UNKNOWN, RunReason.RUNNING)
    run.status.remaining_seconds = run.plan.spec.timeout_seconds
    _start_clock(run, queue)


def begin_finally(run: RunState, queue: ReadyQueue, joins: Joins) -> bool:
    """Have the nodes of `finally` decided, once everything else has ended and nothing of it runs.

    Returns whether that is so now. What was stopped and is not known to be gone is waited for, as
    long as a node after it would wait.
    """
    status = run.status
    if (
        not run.counters.open_finally
        or run.counters.open > run.counters.open_finally
        or run.is_finishing
    ):
        return False
    if run.awaits_rollback:
        return False
    awaited = run.executions.awaited()
    for node in awaited:
        if node not in run.executions.held_until:
            queue.hold(node, run.now + HOLD_SECONDS)
    if awaited:
        return False
    run.run_changed = True
    status.finishing_since = run.now
    run.ending = ending_of(run)
    status.deadline = None
    status.remaining_seconds = run.plan.spec.finally_timeout_seconds
    _start_clock(run, queue)
    set_condition(status, run.now, "Succeeded", ConditionStatus.UNKNOWN, RunReason.FINISHING)
    nodes = [node for node in run.plan.nodes if node in run.plan.finally_nodes]
    count = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
    message = f"everything else has ended ({run.ending['phase']}): {count} of finally"
    run.emit(EventType.NORMAL, EventReason.RUN_FINISHING, message)
    joins.decide(nodes)
    joins.propagate()
    return True


def _start_clock(run: RunState, queue: ReadyQueue) -> None:
    """Count time from now on: towards the run's duration, and its time-out."""
    status = run.status
    if status.active_since is None:
        # Version 0.1.0 kept nothing but the start.
        is_old = status.format_version is None and not status.active_seconds
        status.active_since = status.started_at if is_old else run.now
        run.run_changed = True
    if status.remaining_seconds is not None:
        status.deadline = round(run.now + status.remaining_seconds, 3)
        status.remaining_seconds = None
        queue.set_run_timer(status.deadline)


def _stop_clock(run: RunState) -> None:
    """Count no time while the run is suspended, or after its end."""
    status = run.status
    if status.active_since is not None:
        passed = max(0.0, run.now - status.active_since)
        status.active_seconds = round(status.active_seconds + passed, 3)
        status.active_since = None
        run.run_changed = True
    if status.deadline is not None:
        status.remaining_seconds = max(0.0, round(status.deadline - run.now, 3))
        status.deadline = None


def finish(run: RunState, queue: ReadyQueue, control: Control) -> None:
    """Set the run's phase by its nodes."""
    status = run.status
    if status.phase.ended:
        return
    if run.counters.open or run.awaits_rollback:
        if control.hold is not None and status.started_at is None and not control.suspend:
            return
        if control.suspend:
            _stop_clock(run)
        elif status.started_at is not None:
            _start_clock(run, queue)
        phase = RunPhase.ROLLING_BACK if run.is_rolling_back else RunPhase.RUNNING
        phase = RunPhase.PAUSED if control.suspend else phase
        if status.phase is not phase:
            run.run_changed = True
            status.phase = phase
            is_paused = phase is RunPhase.PAUSED
            reason = RunReason.FINISHING if run.is_finishing else RunReason.RUNNING
            reason = RunReason.ROLLING_BACK if run.is_rolling_back else reason
            reason = RunReason.SUSPENDED if is_paused else reason
            set_condition(status, run.now, "Succeeded", ConditionStatus.UNKNOWN, reason)
            if is_paused:
                run.emit(EventType.NORMAL, EventReason.RUN_PAUSED, "nothing new is started")
            else:
                run.emit(EventType.NORMAL, EventReason.RUN_RESUMED, "nodes are started again")
        return
    if run.plan.outputs and not _has_outputs(run):
        return
    run.run_changed = True
    status.completed_at = run.now
    _stop_clock(run)
    status.remaining_seconds = None
    status.duration = format_duration(status.active_seconds)
    phase, reason, message = outcome(run)
    status.phase = phase
    set_end(status, run.now, phase, reason, message)
    kind = EventType.NORMAL if phase is RunPhase.SUCCEEDED else EventType.WARNING
    run.emit(kind, _END_EVENTS[phase], message or f"in {status.duration}")


def _has_outputs(run: RunState) -> bool:
    """Return whether what the run hands over is known, or that it hands over nothing."""
    run.output_problem = None
    if outcome(run).phase is not RunPhase.SUCCEEDED:
        return True
    return evaluate_outputs(run)
