"""Conditions of a run's status, as Kubernetes has them."""

from podium.api.run import Condition, ConditionStatus, WorkflowRunStatus

__all__ = ["set_condition"]


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
