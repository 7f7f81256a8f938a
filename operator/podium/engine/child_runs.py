"""What a child run says of the node that it carries out; the same on both shells."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from podium.api.base import shorten
from podium.api.reasons import NodeReason
from podium.api.run import RunPhase, WorkflowRunStatus
from podium.engine.model import AttemptPhase, Observation

__all__ = ["ChildState", "child_state", "observe_child"]

_MESSAGE_CHARACTERS = 600


class ChildState(NamedTuple):
    """What is known of a child run."""

    phase: RunPhase
    started_at: float | None = None
    completed_at: float | None = None
    reason: str = ""
    """Of its condition Succeeded."""
    message: str = ""
    outputs: Mapping[str, Any] | None = None


def child_state(status: WorkflowRunStatus) -> ChildState:
    """Return what a run's status says of it as a child."""
    known = (each for each in status.conditions if each.type == "Succeeded")
    condition = next(known, None)
    return ChildState(
        status.phase,
        status.started_at,
        status.completed_at,
        condition.reason if condition is not None else status.reason,
        condition.message if condition is not None else "",
        status.outputs,
    )


def observe_child(
    node: str, execution: str, name: str, state: ChildState, uid: str = ""
) -> Observation:
    """Describe what a child run means for its node's execution."""
    seen = Observation(
        node,
        execution,
        AttemptPhase.WAITING,
        started_at=state.started_at,
        job_uid=uid,
        child_run=name,
    )
    why = f"{state.reason}: {state.message}" if state.message else state.reason
    why = shorten(why, _MESSAGE_CHARACTERS)
    match state.phase:
        case RunPhase.PENDING:
            seen.reason, seen.message = state.reason, shorten(state.message)
        case RunPhase.RUNNING | RunPhase.PAUSED:
            seen.phase = AttemptPhase.RUNNING
            seen.reason = state.reason if state.phase is RunPhase.PAUSED else ""
        case RunPhase.SUCCEEDED:
            seen.phase, seen.at = AttemptPhase.SUCCEEDED, state.completed_at
            seen.output = orjson.dumps(dict(state.outputs or {}))
        case RunPhase.FAILED:
            seen.phase, seen.at = AttemptPhase.FAILED, state.completed_at
            seen.reason = NodeReason.CHILD_RUN_FAILED
            seen.message = f"its child run failed: {why}"
            # One that could not begin cannot begin the next time.
            seen.retryable = state.started_at is not None
        case RunPhase.CANCELLED:
            seen.phase, seen.at = AttemptPhase.FAILED, state.completed_at
            seen.reason = NodeReason.CHILD_RUN_CANCELLED
            seen.message = "its child run was cancelled, and not because of its parent"
            seen.retryable = False
    return seen
