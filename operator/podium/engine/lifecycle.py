"""Lifecycle of a run: its start, its phase by its nodes, its end, and its reopening."""

from podium.api.base import format_duration
from podium.api.run import ConditionStatus, NodeStatus, RunPhase
from podium.engine.conditions import set_condition
from podium.engine.joins import Joins
from podium.engine.model import Control, EventType
from podium.engine.ready_queue import ReadyQueue
from podium.engine.state import RUN_CANCELLED, RUN_TIMEOUT, RunState

__all__ = ["begin", "finish", "reopen"]


def begin(run: RunState, queue: ReadyQueue, joins: Joins) -> None:
    """Start the run: its nodes are decided."""
    run.status.started_at = run.now
    _set_running(run, queue)
    run.emit(EventType.NORMAL, "RunStarted", f"{len(run.plan.nodes)} nodes")
    joins.decide(list(run.plan.nodes))


def reopen(run: RunState, queue: ReadyQueue) -> None:
    """Set an ended run going again."""
    if run.status.phase.ended:
        run.status.completed_at = run.status.duration = None
        _set_running(run, queue)


def _set_running(run: RunState, queue: ReadyQueue) -> None:
    run.run_changed = True
    run.status.phase = RunPhase.RUNNING
    set_condition(run.status, run.now, "Succeeded", ConditionStatus.UNKNOWN, "Running")
    if run.plan.spec.timeout_seconds is not None:
        run.status.deadline = round(run.now + run.plan.spec.timeout_seconds, 3)
        queue.set_run_timer(run.status.deadline)


def finish(run: RunState, control: Control) -> None:
    """Set the run's phase by its nodes."""
    status = run.status
    if status.phase.ended:
        return
    if run.open:
        phase = RunPhase.PAUSED if control.suspend else RunPhase.RUNNING
        if status.phase is not phase:
            run.run_changed = True
            status.phase = phase
            is_paused = phase is RunPhase.PAUSED
            reason = "Suspended" if is_paused else "Running"
            set_condition(status, run.now, "Succeeded", ConditionStatus.UNKNOWN, reason)
            if is_paused:
                run.emit(EventType.NORMAL, "RunPaused", "nothing new is started")
        return
    run.run_changed = True
    status.completed_at = run.now
    status.deadline = None
    status.duration = format_duration(run.now - (status.started_at or run.now))
    phase, reason, message = _outcome(run)
    status.phase = phase
    value = ConditionStatus.TRUE if phase is RunPhase.SUCCEEDED else ConditionStatus.FALSE
    set_condition(status, run.now, "Succeeded", value, reason, message)
    kind = EventType.NORMAL if phase is RunPhase.SUCCEEDED else EventType.WARNING
    run.emit(kind, f"Run{phase.value}", message or f"in {status.duration}")


def _outcome(run: RunState) -> tuple[RunPhase, str, str]:
    reasons = {run.status.nodes[node].reason for node in run.cancelled}
    if RUN_CANCELLED in reasons:
        return RunPhase.CANCELLED, "Cancelled", "the run was cancelled"
    if RUN_TIMEOUT in reasons:
        seconds = run.plan.spec.timeout_seconds
        return RunPhase.FAILED, "Timeout", f"the run took longer than {seconds:g} s"
    if run.bad:
        order = sorted(run.bad, key=lambda node: run.plan.nodes[node].index)
        failed = [n for n in order if run.status.nodes[n].status is NodeStatus.FAILED]
        shown = ", ".join((failed or order)[:5])
        more = len(failed or order) - 5
        message = f"failed: {shown}" + (f" and {more} more" if more > 0 else "")
        return RunPhase.FAILED, "NodeFailed", message
    if run.cancelled:
        return RunPhase.CANCELLED, "Cancelled", "nodes were cancelled"
    return RunPhase.SUCCEEDED, "Completed", ""
