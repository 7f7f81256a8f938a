"""How a node ends or is tried again. What follows from an end is decided later, by `Joins`."""

from collections.abc import Mapping
from typing import Any

from podium.api.base import format_duration, shorten
from podium.api.reasons import EventReason, NodeReason
from podium.api.run import NodeError, NodeState, NodeStatus
from podium.engine.history import archive
from podium.engine.model import EventType, Observation
from podium.engine.ready_queue import ReadyQueue
from podium.engine.state import RunState

__all__ = [
    "cancel_pending",
    "complete",
    "disrupt",
    "fail",
    "fail_unstarted",
    "finish_without_execution",
    "skip",
]


def complete(run: RunState, node: str, output: dict[str, Any], at: float) -> None:
    """End a node's execution as successful; its output makes a new context version."""
    # That of a group or a map is not stored twice (`context.output_of`).
    is_made = node in run.plan.members or node in run.plan.for_each
    run.status.nodes[node].output = {} if is_made else output
    state = run.transition(node, NodeStatus.COMPLETED)
    _end_execution(state, at)
    if run.plan.nodes[node].map:
        run.ended.append(node)
        return
    run.status.context_version = state.context_version = run.status.context_version + 1
    took = _took(state.duration_seconds, whole_seconds=run.info.whole_seconds)
    run.emit(EventType.NORMAL, EventReason.NODE_COMPLETED, took, node)
    run.ended.append(node)


def _took(seconds: float | None, *, whole_seconds: bool) -> str:
    """Describe how long a program ran, as exactly as it is known."""
    if seconds is None:
        return "at once"  # it has no program
    if not whole_seconds:
        return f"in {format_duration(seconds)}"
    return f"in about {format_duration(seconds)}" if seconds >= 1 else "in about 1s or less"


def fail(
    run: RunState,
    queue: ReadyQueue,
    node: str,
    at: float,
    reason: str,
    message: str,
    *,
    retryable: bool = True,
    details: Mapping[str, Any] | None = None,
) -> None:
    """End an execution as failed; the retry policy decides what becomes of the node."""
    state = run.touch(node)
    _end_execution(state, at)
    message = shorten(message)
    planned = run.plan.nodes[node]
    policy = planned.retry
    tried = state.retry_count + 1
    is_retried = (
        retryable
        and tried < policy.max_attempts
        and (policy.retry_on is None or reason in policy.retry_on)
        and not (planned.map and run.items.is_draining(planned.map))
    )
    if not is_retried:
        run.transition(node, NodeStatus.FAILED, reason, message)
        state.error = NodeError(reason=reason, message=message, details=dict(details or {}))
        run.emit(EventType.WARNING, EventReason.NODE_FAILED, f"{reason}: {message}", node)
        run.ended.append(node)
        return
    wait = min(
        policy.backoff_seconds * policy.backoff_factor**state.retry_count,
        policy.max_backoff_seconds,
    )
    archive(state, NodeStatus.FAILED, reason, message, run.now)
    retried = f"attempt {tried} of {policy.max_attempts} failed: {message}"
    run.transition(node, NodeStatus.READY, reason, retried)
    state.retry_count += 1
    state.next_attempt_at = round(at + wait, 3)
    run.emit(EventType.WARNING, EventReason.NODE_RETRYING, f"{reason}: {retried}", node)
    queue.add(node)


def disrupt(run: RunState, queue: ReadyQueue, seen: Observation) -> None:
    """Start a disrupted execution again: the same id, not counted as a try."""
    node = seen.node
    if seen.attempt:
        run.executions.disrupted.add(seen.attempt)
    state = run.touch(node)
    state.disruptions += 1
    limit = run.plan.nodes[node].definition.max_disruptions
    if state.disruptions > limit and not seen.own:
        message = f"disrupted {state.disruptions} times (maxDisruptions: {limit}), at last:"
        at = run.now if seen.at is None else min(seen.at, run.now)
        run.stop(node, seen.execution_id, NodeReason.TOO_MANY_DISRUPTIONS)
        fail(run, queue, node, at, NodeReason.TOO_MANY_DISRUPTIONS, f"{message} {seen.message}")
        return
    state.started_at = state.deadline = None
    state.reason = seen.reason or NodeReason.DISRUPTED
    state.message = shorten(seen.message)
    wait = 0.0 if seen.own else min(60.0, 2.0 ** (state.disruptions - 1))
    state.next_attempt_at = round(run.now + wait, 3)
    queue.add(node)
    run.emit(EventType.WARNING, EventReason.NODE_DISRUPTED, f"{state.reason}: {seen.message}", node)


def fail_unstarted(run: RunState, queue: ReadyQueue, node: str, reason: str, message: str) -> None:
    """Fail a node that cannot be launched; no retry would change that.

    The start has an execution id as any other, which is spent: nothing is ever launched with it.
    """
    state = run.status.nodes[node]
    if state.status is NodeStatus.RUNNING:  # after a disruption
        fail(run, queue, node, run.now, reason, message, retryable=False)
        return
    execution = run.next_execution(node)
    finish_without_execution(run, node, NodeStatus.FAILED, reason, message)
    run.spend(node, execution)
    state.execution_id = execution
    state.started_at = state.launched_at = state.duration_seconds = None
    run.ended.append(node)


def finish_without_execution(
    run: RunState, node: str, status: NodeStatus, reason: str, message: str
) -> None:
    """End a node that never started, Skipped or Failed. The caller decides what follows."""
    state = run.transition(node, status, reason, message)
    state.completed_at = run.now
    if status is NodeStatus.FAILED:
        state.error = NodeError(reason=reason, message=shorten(message))
        run.emit(EventType.WARNING, EventReason.NODE_FAILED, f"{reason}: {message}", node)
    else:
        run.emit(EventType.NORMAL, EventReason.NODE_SKIPPED, f"{reason}: {message}", node)


def skip(run: RunState, node: str, reason: str, message: str) -> None:
    """End a node that ran as left out. What follows is decided as for any Skipped one."""
    state = run.transition(node, NodeStatus.SKIPPED, reason, message)
    _end_execution(state, run.now)
    run.emit(EventType.NORMAL, EventReason.NODE_SKIPPED, f"{reason}: {message}", node)
    run.ended.append(node)


def cancel_pending(run: RunState, reason: str, message: str, *, with_finally: bool = False) -> None:
    """Cancel everything that has not ended, but for the nodes of `finally` and compensations."""
    kept = frozenset[str]() if with_finally else run.plan.finally_nodes
    undoing = () if with_finally else run.plan.compensations
    open_kept = 0 if with_finally else run.counters.open_finally + run.counters.open_compensations
    if run.status.phase.ended or run.counters.open == open_kept:
        return
    for node in list(run.plan.nodes):  # items end with their map
        state = run.status.nodes[node]
        if not state.status.ended and node not in kept and node not in undoing:
            run.stop_current(node, reason)
            if state.status is NodeStatus.RUNNING:
                state.completed_at = run.now
            run.transition(node, NodeStatus.CANCELLED, reason, message)


def _end_execution(state: NodeState, at: float) -> None:
    started = state.started_at
    completed = round(at if started is None or started < at else started, 3)
    state.completed_at = completed
    if state.deadline is not None:
        state.deadline = None
    if started is not None:
        state.duration_seconds = round(completed - started, 3)
