"""What a Job and its Pods say of an execution (semantics.md 6). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from podium.api.reasons import NodeReason
from podium.artifacts.told_output import Told
from podium.cluster.jobs.disruption import is_disruption, is_overlooked
from podium.cluster.jobs.helpers import (
    Collected,
    HelperError,
    how_ended,
    read_collected,
    read_error,
)
from podium.cluster.kube.views import HelperEnd, JobView, PodView
from podium.engine import LONG_WAIT_SECONDS, AttemptPhase, Observation, StoredOutput
from podium.executors.outcome import failed_program, is_retryable, told_usage

__all__ = ["HOPELESS_SECONDS", "MESSAGE_LIMIT", "ExecutionReport", "live", "observe"]

MESSAGE_LIMIT = 4096
"""Bytes of a container's termination message that the kubelet keeps."""
POD_MESSAGE_LIMIT = 12_288
"""Bytes of all termination messages of a Pod, shared out evenly among its containers."""

HOPELESS_SECONDS = 10.0
OUTLIVED_SECONDS = 7.0
"""Other containers that run on may end in this time, as at a Pod's eviction: longer than the grace
period of a Pod, whose phase then says more."""
PULL_SECONDS = 60.0
NO_POD_SECONDS = 15.0
"""After this long without a Pod, the Job's Events say why."""

_HOPELESS = {
    "InvalidImageName": NodeReason.IMAGE_PULL,
    "ErrImageNeverPull": NodeReason.IMAGE_PULL,
    "CreateContainerConfigError": NodeReason.CONFIG,
    "CreateContainerError": NodeReason.CONFIG,
    "RunContainerError": NodeReason.CONFIG,
}
_PULLING = {"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable"}
_TRANSIENT = frozenset({"CreateContainerError"})
"""Of the hopeless ones: those that another try may not meet, such as a busy machine."""
_CANNOT_START = frozenset({"StartError", "ContainerCannotRun"})
"""Reasons for the end of a container whose program never began."""


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """The observations of one execution, and what the shell has to do beside."""

    observations: tuple[Observation, ...]
    look_again: float | None = None
    """Seconds after which time alone may change the answer."""
    remove: bool = False
    """Whether the Job must be deleted once the observation is recorded: it does not end alone."""
    remove_pods: bool = False
    """Whether its Pods must be: the program has ended, and other containers run on."""
    ask_why: bool = False
    """Whether the Job's Events must be read: it has no Pod."""
    needs_pod: bool = False
    """Whether Podium has to make its Pod."""
    lost_since: float | None = None
    """Since when (seconds since 1970) its machine does not answer."""


def observe(
    node: str,
    execution: str,
    job: JobView | None,
    pods: Sequence[PodView],
    *,
    stuck_for: float,
    age: float,
    failed_create: str | None = None,
) -> ExecutionReport:
    """Report what is known of an execution.

    `job` is None once it is gone; `pods` are all Pods it ever had, vanished ones included.
    `stuck_for`: seconds since the newest Pod began to wait for an image or its configuration, or
    since its program was seen to have ended while other containers run on.
    `age`: seconds since the Job was made. `failed_create`: what its Events say about its lack of a
    Pod, empty if nothing; None: they were not read.
    """
    ordered = sorted(pods, key=lambda pod: (pod.created_at, pod.uid))
    done = [pod for pod in ordered if pod.phase == "Succeeded"]
    succeeded = next(filter(_is_stored, done), None)
    if succeeded is None and done and done[-1] is ordered[-1]:
        succeeded = done[-1]
        if succeeded.disruption is not None:  # which ended what stores its artifacts
            return ExecutionReport((_disruption(node, execution, job, succeeded),))
    if succeeded is not None:
        return ExecutionReport((_succeeded(node, execution, succeeded),))
    if not ordered:
        return _without_pod(node, execution, job, age, failed_create)
    latest = ordered[-1]
    overlooked = next((pod for pod in ordered if is_overlooked(pod, job)), None)
    if overlooked is not None:
        ended = _ended(node, execution, job, overlooked)
        return ExecutionReport((ended,), remove=job is not None and not job.ended)
    if latest.alive:
        if latest.outlived and not latest.asked_to_end and stuck_for >= OUTLIVED_SECONDS:
            return _outlived(node, execution, job, latest)
        return _alive(node, execution, latest, stuck_for, age)
    if any(pod.alive and not pod.outlived for pod in ordered):
        return ExecutionReport((live(node, execution),))
    if is_disruption(latest):
        return ExecutionReport((_disruption(node, execution, job, latest),))
    return ExecutionReport((_ended(node, execution, job, latest),))


def _without_pod(
    node: str, execution: str, job: JobView | None, age: float, failed_create: str | None
) -> ExecutionReport:
    if job is None or job.deleting:
        return ExecutionReport(
            (_failed(node, execution, NodeReason.JOB_DELETED, "its Job was deleted"),)
        )
    if job.failed:
        message = f"its Pod was deleted: {job.failure}".rstrip(": ")
        return ExecutionReport((_failed(node, execution, NodeReason.POD_DELETED, message),))
    if job.suspended:
        queued = _waiting(node, execution, NodeReason.QUEUED, "the Job is suspended")
        return ExecutionReport((replace(queued, idle=True),), look_again=_until_long_wait(age))
    if job.managed_by:
        return ExecutionReport((live(node, execution),), needs_pod=not job.ended)
    if age < NO_POD_SECONDS:
        return ExecutionReport((live(node, execution),), look_again=NO_POD_SECONDS - age)
    if failed_create is None:
        return ExecutionReport((live(node, execution),), look_again=NO_POD_SECONDS, ask_why=True)
    return _no_pod_made(node, execution, failed_create)


def _no_pod_made(node: str, execution: str, words: str) -> ExecutionReport:
    """Report why the built-in controller makes no Pod, by its Events."""
    if "exceeded quota" not in words and any(
        each in words for each in ("forbidden", "is invalid", "denied")
    ):
        refused = replace(_failed(node, execution, NodeReason.POD_REFUSED, words), retryable=False)
        return ExecutionReport((refused,), remove=True)
    is_quota = "exceeded quota" in words
    reason = NodeReason.QUOTA_EXCEEDED if is_quota else NodeReason.FAILED_CREATE
    waiting = _waiting(node, execution, reason if words else NodeReason.SCHEDULING, words)
    return ExecutionReport((waiting,), look_again=NO_POD_SECONDS)


def _outlived(node: str, execution: str, job: JobView | None, pod: PodView) -> ExecutionReport:
    """Report the end of a program that other containers of its Pod outlive.

    The Pod of a managed Job is deleted; the built-in controller would take that for a failure of
    the Job, so there the Job goes with it.
    """
    managed = job is not None and bool(job.managed_by)
    ended = _ended(node, execution, job, pod)
    return ExecutionReport((ended,), remove=not managed, remove_pods=managed)


def _alive(
    node: str, execution: str, pod: PodView, stuck_for: float, age: float
) -> ExecutionReport:
    base = Observation(
        node,
        execution,
        AttemptPhase.WAITING,
        attempt=pod.uid,
        created_at=pod.created_at,
        scheduled_at=pod.scheduled_at,
        started_at=pod.started_at,
    )
    if pod.started_at is not None:
        lost = pod.reason == "NodeLost" or (
            pod.delete_asked_at is not None
            and pod.disruption is not None
            and pod.disruption.startswith("DeletionByTaintManager")
        )
        reason = NodeReason.NODE_LOST if lost else ""
        message = "its machine does not answer; it may still run there" if lost else ""
        running = replace(base, phase=AttemptPhase.RUNNING, reason=reason, message=message)
        return ExecutionReport(
            (running,),
            lost_since=pod.delete_asked_at if lost else None,
            look_again=OUTLIVED_SECONDS - stuck_for if pod.outlived else None,
        )
    if pod.delete_asked_at is not None:
        return ExecutionReport((live(node, execution),))
    for reasons, bound in ((_HOPELESS, HOPELESS_SECONDS), (_PULLING, PULL_SECONDS)):
        if pod.waiting in reasons:
            if stuck_for >= bound:
                reason = _HOPELESS.get(pod.waiting, NodeReason.IMAGE_PULL)
                message = f"{pod.waiting}: {pod.waiting_message}"
                failed = _failed(node, execution, reason, message, pod=pod)
                final = reason == NodeReason.CONFIG and pod.waiting not in _TRANSIENT
                return ExecutionReport((replace(failed, retryable=not final),), remove=True)
            waiting = replace(base, reason=pod.waiting, message=pod.waiting_message)
            return ExecutionReport((waiting,), look_again=bound - stuck_for)
    waiting = replace(base, reason=_starting(pod), message=pod.unschedulable or "")
    return ExecutionReport((waiting,), look_again=_until_long_wait(age))


def _starting(pod: PodView) -> NodeReason:
    if pod.unschedulable is not None:
        return NodeReason.UNSCHEDULABLE
    if pod.scheduled_at is None:
        return NodeReason.SCHEDULING
    return NodeReason.PULLING_IMAGE if pod.sandbox else NodeReason.STARTING


def _until_long_wait(age: float) -> float | None:
    """Return the seconds until an execution that still waits is worth an Event."""
    left = LONG_WAIT_SECONDS + 1 - age
    return left if left > 0 else None


def _ended(node: str, execution: str, job: JobView | None, pod: PodView) -> Observation:
    """Report how a Pod ended that did not succeed, or vanished."""
    known = pod.exit_code is not None or pod.lost
    if not (known or pod.phase == "Failed") or pod.asked_to_end:
        if job is None or job.deleting:
            return _failed(node, execution, NodeReason.JOB_DELETED, "its Job was deleted", pod=pod)
        return _failed(
            node, execution, NodeReason.POD_DELETED, f"its Pod {pod.name} was deleted", pod=pod
        )
    if pod.fetch_failed is not None and pod.exit_code is None:
        return _not_fetched(node, execution, pod, pod.fetch_failed)
    reason = pod.reason if pod.ran_out else ""  # else it speaks of what happened since
    if pod.lost and not reason:
        words = pod.written or "the kubelet no longer finds its container"
        message = f"{words}: how its program ended is not known"
        return _failed(node, execution, NodeReason.NODE_LOST, message, pod=pod)
    if reason or pod.exit_code is None:  # such as Evicted: the kubelet says more than the code
        message = (
            pod.message
            or pod.failed_init
            or pod.waiting_message
            or "the Pod failed without running the program"
        )
        return _failed(node, execution, reason or NodeReason.POD_FAILED, message, pod=pod)
    if pod.exit_code == 0:  # another container failed, whose word does not count
        return _succeeded(node, execution, pod)
    # By FallbackToLogsOnError the message is the log's end where the program wrote no output.
    written = pod.written or ""
    if pod.ended == "OOMKilled" or (pod.ended in _CANNOT_START and "OOM" in written):
        message = "it used more memory than its limit"
        return _failed(node, execution, NodeReason.OOM_KILLED, message, pod=pod)
    if pod.ended in _CANNOT_START:
        message = f"its program cannot be started: {written or pod.ended}"
        failed = _failed(node, execution, NodeReason.CONFIG, message, pod=pod)
        return replace(failed, retryable=False, exit_code=None)
    reason, message, details = failed_program(pod.exit_code, written, written)
    return replace(
        _failed(node, execution, reason, message, pod=pod),
        retryable=is_retryable(reason),
        details=details,
    )


def _is_stored(pod: PodView) -> bool:
    """Return whether what a program left is in the store, if it is kept at all."""
    return not pod.collects or isinstance(read_collected(pod.collected), Collected)


def _succeeded(node: str, execution: str, pod: PodView) -> Observation:
    collected = Collected("")
    if pod.collects:
        told = read_collected(pod.collected)
        if isinstance(told, HelperError):
            failed = _failed(node, execution, told.reason, told.message, pod=pod)
            return replace(failed, retryable=told.is_retryable, exit_code=None)
        collected = told
    limit = min(MESSAGE_LIMIT, POD_MESSAGE_LIMIT // pod.containers)
    seen = Observation(
        node,
        execution,
        AttemptPhase.SUCCEEDED,
        attempt=pod.uid,
        at=pod.finished_at,
        created_at=pod.created_at,
        started_at=pod.started_at,
        output=None if pod.written is None else pod.written.encode("utf-8", "surrogatepass"),
        output_limit=limit,
        artifacts=collected.digest,
        values=dict(collected.values),
        usage=told_usage(pod.written or ""),
    )
    return seen if collected.output is None else _with_output(seen, collected.output)


def _with_output(seen: Observation, told: Told) -> Observation:
    """Add an output that may be large, as the collector tells of it."""
    stored = None
    if told.verdict is not None:
        stored = StoredOutput(told.size, told.digest, told.verdict)
    return replace(seen, output=orjson.dumps(told.read), output_limit=None, stored=stored)


def _not_fetched(node: str, execution: str, pod: PodView, end: HelperEnd) -> Observation:
    error = read_error(end) or HelperError(
        NodeReason.DOWNLOAD, f"its artifacts could not be had: the container {how_ended(end)}"
    )
    failed = _failed(node, execution, error.reason, error.message, pod=pod)
    return replace(failed, retryable=error.is_retryable)


def _disruption(node: str, execution: str, job: JobView | None, pod: PodView) -> Observation:
    """Report a disruption, once the Job says what it makes of it.

    By its podFailurePolicy the Job replaces a Pod that was disrupted; a Pod that the kubelet
    refused ends the Job, and so may a disruption in a race: then the execution needs a new one.
    """
    message = pod.disruption or pod.message or pod.reason or "the platform ended its Pod"
    if pod.forced and pod.phase not in ("Succeeded", "Failed"):
        message += "; its program may still run there, so the work may be done twice"
    ended = job is None or job.ended or job.deleting
    if not ended and job is not None and job.managed_by:
        ended = True  # the next Pod is Podium's to make
    if pod.disruption is None and not ended:
        return live(node, execution)
    return Observation(
        node,
        execution,
        AttemptPhase.DISRUPTED,
        attempt=f"{pod.uid}/ended" if pod.disruption is not None and ended else pod.uid,
        at=pod.finished_at,
        reason=(pod.disruption or pod.reason).split(":")[0] or NodeReason.DISRUPTED,
        message=message,
    )


def _failed(
    node: str, execution: str, reason: str, message: str, *, pod: PodView | None = None
) -> Observation:
    return Observation(
        node,
        execution,
        AttemptPhase.FAILED,
        attempt=pod.uid if pod is not None else "",
        at=pod.finished_at if pod is not None else None,
        started_at=pod.started_at if pod is not None else None,
        reason=reason,
        message=message,
        exit_code=pod.exit_code if pod is not None else None,
        usage=told_usage(pod.written or "") if pod is not None else None,
    )


def _waiting(node: str, execution: str, reason: str, message: str) -> Observation:
    return Observation(node, execution, AttemptPhase.WAITING, reason=reason, message=message)


def live(node: str, execution: str) -> Observation:
    """Report that an execution exists, and nothing more."""
    return Observation(node, execution, AttemptPhase.LAUNCHED)
