"""Lifecycle of a run: its start, its phase by its nodes, its end, and its reopening."""

from collections.abc import Callable
from typing import Final

from podium.api.base import format_duration
from podium.api.reasons import EventReason, NodeReason, RunReason
from podium.api.run import ConditionStatus, NodeStatus, RunPhase
from podium.engine.conditions import clear_end, set_condition, set_end
from podium.engine.joins import Joins
from podium.engine.model import Control, EventType
from podium.engine.ready_queue import ReadyQueue
from podium.engine.state import RunState

__all__ = ["RUN_OUTCOMES", "begin", "finish", "reopen"]

_END_EVENTS = {
    RunPhase.SUCCEEDED: EventReason.RUN_SUCCEEDED,
    RunPhase.FAILED: EventReason.RUN_FAILED,
    RunPhase.CANCELLED: EventReason.RUN_CANCELLED,
}


def begin(run: RunState, queue: ReadyQueue, joins: Joins) -> None:
    """Start the run: its nodes are decided."""
    run.status.started_at = run.now
    _set_running(run, queue)
    run.emit(EventType.NORMAL, EventReason.RUN_STARTED, _number_of(run))
    joins.decide(list(run.plan.nodes))


def _number_of(run: RunState) -> str:
    count = len(run.plan.nodes)
    return "1 node" if count == 1 else f"{count} nodes"


def reopen(run: RunState, queue: ReadyQueue) -> None:
    """Set an ended run going again."""
    if run.status.phase.ended:
        run.status.completed_at = run.status.duration = None
        clear_end(run.status)
        _set_running(run, queue)


def _set_running(run: RunState, queue: ReadyQueue) -> None:
    run.run_changed = True
    run.status.phase = RunPhase.RUNNING
    set_condition(run.status, run.now, "Succeeded", ConditionStatus.UNKNOWN, RunReason.RUNNING)
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
            reason = RunReason.SUSPENDED if is_paused else RunReason.RUNNING
            set_condition(status, run.now, "Succeeded", ConditionStatus.UNKNOWN, reason)
            if is_paused:
                run.emit(EventType.NORMAL, EventReason.RUN_PAUSED, "nothing new is started")
            else:
                run.emit(EventType.NORMAL, EventReason.RUN_RESUMED, "nodes are started again")
        return
    run.run_changed = True
    status.completed_at = run.now
    status.deadline = None
    status.duration = format_duration(run.now - (status.started_at or run.now))
    phase, reason, message = _outcome(run)
    status.phase = phase
    set_end(status, run.now, phase, reason, message)
    kind = EventType.NORMAL if phase is RunPhase.SUCCEEDED else EventType.WARNING
    run.emit(kind, _END_EVENTS[phase], message or f"in {status.duration}")


def _timed_out(run: RunState) -> str | None:
    if not _is_any_cancelled(run, NodeReason.RUN_TIMEOUT):
        return None
    return f"the run took longer than {run.plan.spec.timeout_seconds:g} s"


def _cancelled(run: RunState) -> str | None:
    is_asked = _is_any_cancelled(run, NodeReason.RUN_CANCELLED)
    return "the run was cancelled" if is_asked else None


def _is_any_cancelled(run: RunState, reason: NodeReason) -> bool:
    return any(run.status.nodes[node].reason == reason for node in run.cancelled)


def _node_failed(run: RunState) -> str | None:
    if not run.bad:
        return None
    order = sorted(run.bad, key=lambda node: run.plan.nodes[node].index)
    failed = [n for n in order if run.status.nodes[n].status is NodeStatus.FAILED]
    if failed:
        return f"failed: {_some([f'{n} ({run.status.nodes[n].reason})' for n in failed])}"
    # What failed before them was run again without cascade, and they were not.
    return f"not run after an earlier failure: {_some(order)}; re-run them"


def _some(names: list[str]) -> str:
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more} more" if more > 0 else "")


def _nodes_cancelled(run: RunState) -> str | None:
    return "nodes were cancelled" if run.cancelled else None


RUN_OUTCOMES: Final[tuple[tuple[Callable[[RunState], str | None], RunPhase, RunReason], ...]] = (
    (_cancelled, RunPhase.CANCELLED, RunReason.CANCELLED),
    (_timed_out, RunPhase.FAILED, RunReason.TIMEOUT),
    (_node_failed, RunPhase.FAILED, RunReason.NODE_FAILED),
    (_nodes_cancelled, RunPhase.CANCELLED, RunReason.CANCELLED),
    (lambda _: "", RunPhase.SUCCEEDED, RunReason.COMPLETED),
)
"""How a run ends: by the first row that has a message (semantics.md 4, "Run outcome")."""


def _outcome(run: RunState) -> tuple[RunPhase, RunReason, str]:
    for describe, phase, reason in RUN_OUTCOMES:
        if (message := describe(run)) is not None:
            return phase, reason, message
    raise AssertionError("the last row applies to every run")
