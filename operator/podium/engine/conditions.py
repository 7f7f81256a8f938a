"""Conditions of a run's status, as Kubernetes has them."""

from podium.api.run import Condition, ConditionStatus, RunPhase, WorkflowRunStatus

__all__ = ["clear_end", "set_condition", "set_end"]


def set_condition(
    status: WorkflowRunStatus,
    now: float,
    kind: str,
    value: ConditionStatus,
    reason: str,
    message: str = "",
) -> bool:
    """Set a condition; the transition time moves only when its status does.

    Returns whether anything changed.
    """
    for position, old in enumerate(status.conditions):
        if old.type == kind:
            if (old.status, old.reason, old.message) == (value, reason, message):
                return False
            since = old.last_transition_time if old.status == value else now
            status.conditions[position] = Condition(
                type=kind, status=value, reason=reason, message=message, last_transition_time=since
            )
            return True
    status.conditions.append(
        Condition(type=kind, status=value, reason=reason, message=message, last_transition_time=now)
    )
    return True


def set_end(
    status: WorkflowRunStatus, now: float, phase: RunPhase, reason: str, message: str
) -> None:
    """Set the conditions of a run that ended in a phase.

    `Succeeded` is True or False; besides, `Complete` or `Failed` is True as a Job has them, and
    `Finished` is, whatever the end: each can be waited for. Only `Succeeded` has the message.
    """
    is_good = phase is RunPhase.SUCCEEDED
    value = ConditionStatus.TRUE if is_good else ConditionStatus.FALSE
    set_condition(status, now, "Succeeded", value, reason, message)
    for kind in ("Complete" if is_good else "Failed", "Finished"):
        set_condition(status, now, kind, ConditionStatus.TRUE, reason)


def clear_end(status: WorkflowRunStatus) -> None:
    """Remove the conditions of the end of a run that goes on again."""
    ended = ("Complete", "Failed", "Finished", "RolledBack")
    status.conditions = [each for each in status.conditions if each.type not in ended]
