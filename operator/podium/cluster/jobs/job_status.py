"""The status of a Job that Podium manages: what the built-in controller would write. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from podium.cluster.kube.views import JobView, PodView

__all__ = [
    "STARTED_SECONDS",
    "ended_status",
    "job_status",
    "running_status",
    "suspended_status",
    "worth_telling_at",
]

STARTED_SECONDS = 3.0
"""A Job whose program ends sooner is never reported as running: that write is saved. Kubernetes
writes whole seconds, so it is at least two."""
PENDING_SECONDS = 30.0
"""A Job whose program has not started is reported as active after so long."""


def worth_telling_at(job: JobView, pods: Sequence[PodView]) -> float:
    """Return from when on (seconds since 1970) the status of a Job says that it runs."""
    started = next((pod.started_at for pod in pods if pod.program_alive and pod.started_at), None)
    if started is not None:
        return started + STARTED_SECONDS
    return 0.0 if job.start_time else job.created_at + PENDING_SECONDS


def job_status(
    job: JobView, pods: Sequence[PodView], outcome: bool | None, now: float
) -> dict[str, Any] | None:
    """Return what the status of a managed Job must become; None: it is true as it is.

    `outcome`: whether it succeeded, None while that is not recorded. `now` in seconds since 1970.
    The server's rules for it are in kubernetes.md 2.
    """
    if job.ended:
        return None
    if outcome is not None:
        counts = {"succeeded": 1} if outcome else {"failed": max(1, len(pods))}
        return {**ended_status(job, now, succeeded=outcome), **counts}
    alive = next((pod for pod in pods if pod.alive), None)
    if job.suspended:
        return None if alive is not None else suspended_status(job, now)
    if alive is None:
        return None
    ready = int(alive.ready)
    if job.start_time and (job.active, job.ready) == (1, ready) and not job.is_suspension_recorded:
        return None
    return running_status(job, 1, ready, now)


def ended_status(job: JobView, now: float, *, succeeded: bool) -> dict[str, Any]:
    """Return the status of a Job that has ended."""
    kinds = ("SuccessCriteriaMet", "Complete") if succeeded else ("FailureTarget", "Failed")
    reason = "CompletionsReached" if succeeded else "NodeFailed"
    message = "" if succeeded else "the run's status says why"
    begun = _begun(job, now)
    return {
        "startTime": begun,
        "active": 0,
        "ready": 0,
        "terminating": 0,
        "uncountedTerminatedPods": {},
        **({"completionTime": max(_time(now), begun)} if succeeded else {}),
        "conditions": [_condition(kind, "True", reason, message, now) for kind in kinds],
    }


def suspended_status(job: JobView, now: float) -> dict[str, Any] | None:
    """Return the status of a suspended Job of which nothing runs; None: it is so."""
    if job.is_suspension_recorded and not job.active:
        return None
    return {
        "startTime": None,
        "active": 0,
        "ready": 0,
        "conditions": [_condition("Suspended", "True", "JobSuspended", "Job suspended", now)],
    }


def running_status(job: JobView, active: int, ready: int, now: float) -> dict[str, Any]:
    """Return the status of a Job that has begun."""
    status: dict[str, Any] = {
        "startTime": _begun(job, now),
        "active": active,
        "ready": ready,
        "terminating": 0,
        "uncountedTerminatedPods": {},
    }
    if job.is_suspension_recorded:
        status["startTime"] = _time(now)
        resumed = _condition("Suspended", "False", "JobResumed", "Job resumed", now)
        status["conditions"] = [resumed]
    return status


def _begun(job: JobView, now: float) -> str:
    return job.start_time or _time(min(job.created_at or now, now))


def _condition(kind: str, status: str, reason: str, message: str, now: float) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastProbeTime": _time(now),
        "lastTransitionTime": _time(now),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
