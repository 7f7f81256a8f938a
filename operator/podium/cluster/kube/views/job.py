"""What the operator keeps of a Job."""

from dataclasses import dataclass
from typing import Any

from podium.api.names import API_VERSION, GROUP
from podium.cluster.kube.views.fields import (
    condition,
    controller_of,
    dig,
    mapping,
    text,
    when,
    whole,
)

__all__ = [
    "ANNOTATION_EXECUTION",
    "ANNOTATION_NODE",
    "ANNOTATION_RESTART",
    "INDEXED",
    "ITEM",
    "SINGLE",
    "JobView",
    "item_view",
    "job_view",
    "real_job",
    "real_name",
]

ANNOTATION_NODE = f"{GROUP}/node"
ANNOTATION_EXECUTION = f"{GROUP}/execution"
ANNOTATION_RESTART = f"{GROUP}/restart"
SINGLE, INDEXED, ITEM = "single", "indexed", "item"
"""Shapes of a Job. An item's share of an Indexed Job is seen as a Job of its own, of the shape
ITEM: its name and its UID are those of the Indexed Job with `/` and the execution."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A Job of a run."""

    namespace: str
    name: str
    uid: str
    version: str
    """resourceVersion."""
    run_uid: str
    node: str
    """From an annotation: to be verified against the name."""
    execution: str
    restart: int
    created_at: float = 0.0
    deleting: bool = False
    suspended: bool = False
    complete: bool = False
    failed: bool = False
    failure: str = ""
    """The words of the condition Failed."""
    has_ttl: bool = False
    managed_by: str = ""
    """Who makes its Pods and keeps its status; empty: the built-in controller."""
    start_time: str = ""
    """As its status says; empty: none yet."""
    active: int = 0
    ready: int = 0
    is_suspension_recorded: bool = False
    """Whether its status says that it is suspended."""
    ended_at: float | None = None
    shape: str = SINGLE
    """What its Pods are to it (`podium.cluster.jobs.shapes`)."""

    @property
    def ended(self) -> bool:
        """Whether its controller is done with it."""
        return self.complete or self.failed


def job_view(body: Any) -> JobView | None:
    """Read a Job; None if no WorkflowRun controls it."""
    run_uid = controller_of(body, "WorkflowRun", API_VERSION)
    meta = mapping(dig(body, "metadata"))
    uid, name, namespace = (text(meta.get(key)) for key in ("uid", "name", "namespace"))
    if run_uid is None or not uid or not name:
        return None
    notes = mapping(meta.get("annotations"))
    restart = text(notes.get(ANNOTATION_RESTART))
    failed = condition(body, "Failed")
    complete = condition(body, "Complete")
    over = complete or failed
    status = mapping(dig(body, "status"))
    return JobView(
        namespace=namespace,
        name=name,
        uid=uid,
        version=text(meta.get("resourceVersion")),
        run_uid=run_uid,
        node=text(notes.get(ANNOTATION_NODE)),
        execution=text(notes.get(ANNOTATION_EXECUTION)),
        restart=int(restart) if restart.isascii() and restart.isdigit() and len(restart) < 6 else 0,
        created_at=when(meta.get("creationTimestamp")) or 0.0,
        deleting=meta.get("deletionTimestamp") is not None,
        suspended=dig(body, "spec", "suspend") is True,
        complete=complete is not None,
        failed=failed is not None,
        failure=text(failed.get("message")) if failed is not None else "",
        has_ttl=dig(body, "spec", "ttlSecondsAfterFinished") is not None,
        managed_by=text(dig(body, "spec", "managedBy")),
        start_time=text(status.get("startTime")),
        active=whole(status.get("active")),
        ready=whole(status.get("ready")),
        is_suspension_recorded=condition(body, "Suspended") is not None,
        ended_at=when(over.get("lastTransitionTime")) if over is not None else None,
        shape=INDEXED if dig(body, "spec", "completionMode") == "Indexed" else SINGLE,
    )


def item_view(job: JobView, node: str, execution: str, since: float) -> JobView:
    """Return the share of an Indexed Job that an item's execution has.

    Nothing in it changes when the Job's status does.
    """
    return JobView(
        namespace=job.namespace,
        name=f"{job.name}/{execution}",
        uid=f"{job.uid}/{execution}",
        version="",
        run_uid=job.run_uid,
        node=node,
        execution=execution,
        restart=0,
        created_at=since,
        deleting=job.deleting,
        suspended=job.suspended,
        managed_by=job.managed_by,
        shape=ITEM,
    )


def real_job(uid: str) -> str:
    """Return the UID of the Job that the API server knows: of an item its Indexed Job's."""
    return uid.partition("/")[0]


def real_name(name: str) -> str:
    """Return the name of the Job that the API server knows: of an item its Indexed Job's."""
    return name.partition("/")[0]
