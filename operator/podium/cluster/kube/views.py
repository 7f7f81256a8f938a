"""What the operator keeps of Jobs and Pods: a few fields each, read defensively.

Whatever the cluster hands over is data: a field of the wrong type counts as missing, nothing
raises.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from podium.api.names import API_VERSION, FINALIZER, GROUP, LABEL_RECORDED

__all__ = [
    "ANNOTATION_EXECUTION",
    "ANNOTATION_NODE",
    "ANNOTATION_RESTART",
    "JobView",
    "PodView",
    "RunView",
    "WorkflowView",
    "container_status",
    "controller_of",
    "dig",
    "finalizer_of",
    "job_view",
    "pod_view",
    "run_view",
    "when",
    "workflow_view",
]

LABEL_INDEX = "batch.kubernetes.io/job-completion-index"
"""Annotation (and label) on the Pods of an Indexed Job."""
ANNOTATION_NODE = f"{GROUP}/node"
ANNOTATION_EXECUTION = f"{GROUP}/execution"
LABEL_JOB_UID = "batch.kubernetes.io/controller-uid"
LABEL_JOB_NAME = "batch.kubernetes.io/job-name"
ANNOTATION_RESTART = f"{GROUP}/restart"

CONTAINER = "node"
"""Name of the one container whose word counts."""
UNKNOWN = "ContainerStatusUnknown"
"""The kubelet's reason for the end of a container that it no longer finds."""


def dig(value: Any, *path: str | int) -> Any:
    """Follow a path through JSON; None where it leads nowhere."""
    for part in path:
        if isinstance(part, int):
            value = value[part] if isinstance(value, list) and len(value) > part else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return value


def text(value: Any) -> str:
    """Return a string, empty where the value is none."""
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, empty where the value is none."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings of a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def when(value: Any) -> float | None:
    """Read an RFC 3339 time as seconds since 1970."""
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def whole(value: Any) -> int:
    """Return a whole number of 64 bits, 0 where the value is none."""
    fits = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value if fits else 0


def controller_of(body: Any, kind: str, api_version: str) -> str | None:
    """Return the UID of the controller of an object, if it is of this kind."""
    for owner in items(dig(body, "metadata", "ownerReferences")):
        if (
            owner.get("controller") is True
            and owner.get("kind") == kind
            and owner.get("apiVersion") == api_version
        ):
            return text(owner.get("uid")) or None
    return None


def _condition(body: Any, kind: str) -> Mapping[str, Any] | None:
    """Return a condition that is True."""
    for condition in items(dig(body, "status", "conditions")):
        if condition.get("type") == kind and condition.get("status") == "True":
            return condition
    return None


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
    suspension_told: bool = False
    """Whether its status says that it is suspended."""
    ended_at: float | None = None
    shape: str = "single"
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
    failed = _condition(body, "Failed")
    complete = _condition(body, "Complete")
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
        suspension_told=_condition(body, "Suspended") is not None,
        ended_at=when(over.get("lastTransitionTime")) if over is not None else None,
        shape="indexed" if dig(body, "spec", "completionMode") == "Indexed" else "single",
    )


@dataclass(frozen=True, slots=True)
class PodView:
    """A Pod of a Job; only its container `node` is looked at."""

    namespace: str
    name: str
    uid: str
    version: str
    """resourceVersion."""
    job_uid: str
    job_name: str
    phase: str
    reason: str
    message: str
    created_at: float
    scheduled_at: float | None
    unschedulable: str | None
    """The scheduler's words."""
    sandbox: bool
    """Whether containers can be started: from then on images are pulled."""
    started_at: float | None
    finished_at: float | None
    exit_code: int | None
    ended: str
    """Reason of the container's end, such as OOMKilled."""
    written: str | None
    """Its termination message."""
    waiting: str
    waiting_message: str
    failed_init: str
    """Which init container failed, and how; empty: none."""
    disruption: str | None
    """Words of the condition DisruptionTarget."""
    disrupted_at: float | None
    """Since when that condition is true."""
    delete_asked_at: float | None
    """When its deletion was asked for."""
    containers: int
    others_run: bool
    """Whether a container other than `node`, such as an injected one, runs or is still to run."""
    ready: bool
    finalizer: int | None
    """Position of Podium's finalizer among its finalizers."""
    recorded: bool
    """Whether it is labelled as one whose outcome is recorded."""
    forced: bool
    """Whether it was deleted without grace: whoever did it vouches that nothing of it runs."""
    gone: bool = field(default=False)
    """Whether it vanished: what it last said is all there is."""
    is_indexed: bool = False
    """Whether it is one of the Pods of an Indexed Job."""

    @property
    def alive(self) -> bool:
        """Whether something of it may still run."""
        return not (self.gone or self.forced or self.ran_out)

    @property
    def program_alive(self) -> bool:
        """Whether the node's own program may still run, or may still start."""
        return self.alive and self.exit_code is None and not self.lost

    @property
    def lost(self) -> bool:
        """Whether the kubelet no longer knows how the node's own container ended."""
        return self.ended == UNKNOWN

    @property
    def outlived(self) -> bool:
        """Whether other containers run on although the node's own has ended."""
        return self.alive and not self.program_alive and self.others_run

    @property
    def ran_out(self) -> bool:
        """Whether its programs have ended."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def asked_to_end(self) -> bool:
        """Whether its deletion was asked for before it ended, as far as whole seconds tell."""
        asked, ended = self.delete_asked_at, self.finished_at
        return asked is not None and (ended is None or ended >= asked)


def container_status(body: Any) -> Mapping[str, Any]:
    """Return the status of the container `node`."""
    for status in items(dig(body, "status", "containerStatuses")):
        if status.get("name") == CONTAINER:
            return status
    return {}


def _terminated(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how a container ended; where the kubelet lost it, as it was last known to end."""
    ended = mapping(dig(container, "state", "terminated"))
    last = mapping(dig(container, "lastState", "terminated"))
    if ended.get("reason") == UNKNOWN and last and last.get("reason") != UNKNOWN:
        return last
    return ended


def _others_run(body: Any) -> bool:
    """Return whether a container beside `node` runs, or waits for its start.

    Ephemeral containers count too; of init containers only those that run on (native sidecars).
    """
    statuses = [
        *items(dig(body, "status", "containerStatuses")),
        *items(dig(body, "status", "initContainerStatuses")),
        *items(dig(body, "status", "ephemeralContainerStatuses")),
    ]
    return any(
        status.get("name") != CONTAINER
        and (dig(status, "state", "running") is not None or dig(status, "state", "waiting"))
        for status in statuses
    )


def _waiting(body: Any, container: Mapping[str, Any]) -> tuple[str, str]:
    """Return what keeps the program from its start, and the kubelet's words.

    While the container `node` waits for the init containers, what keeps one of them counts.
    """
    own = mapping(dig(container, "state", "waiting"))
    reason, message = text(own.get("reason")), text(own.get("message"))
    if reason in ("", "PodInitializing", "ContainerCreating") and not dig(
        container, "state", "terminated"
    ):
        for status in items(dig(body, "status", "initContainerStatuses")):
            init = mapping(dig(status, "state", "waiting"))
            word = text(init.get("reason"))
            if word and word not in ("PodInitializing", "ContainerCreating"):
                named = f"init container {text(status.get('name'))}"
                return word, f"{named}: {text(init.get('message')) or word}"
    return reason, message


def _failed_init(body: Any) -> str:
    """Describe the init container that ended a Pod; empty: none did."""
    for status in items(dig(body, "status", "initContainerStatuses")):
        ended = mapping(dig(status, "state", "terminated"))
        code = ended.get("exitCode")
        if isinstance(code, int) and code != 0:
            words = text(ended.get("message")).strip() or text(ended.get("reason"))
            told = f"the init container {text(status.get('name'))} failed with exit code {code}"
            return f"{told}: {words[-300:]}" if words else told
    return ""


def pod_view(body: Any, made_for: str | None = None) -> PodView | None:
    """Read a Pod; None if no Job controls it.

    `made_for`: the UID of the Job that is known to have controlled it. Of a Pod that still waits
    to be let go, the label that every Pod of a Job has says it, too.
    """
    job_uid = controller_of(body, "Job", "batch/v1") or made_for
    if job_uid is None and finalizer_of(body) is not None:
        job_uid = text(dig(body, "metadata", "labels", LABEL_JOB_UID)) or None
    meta, status = mapping(dig(body, "metadata")), mapping(dig(body, "status"))
    uid, name = text(meta.get("uid")), text(meta.get("name"))
    if job_uid is None or not uid:
        return None
    container = container_status(body)
    state = mapping(container.get("state"))
    ended = _terminated(container)
    waiting, waiting_message = _waiting(body, container)
    code = ended.get("exitCode")
    lost = ended.get("reason") == UNKNOWN
    scheduled = _condition(body, "PodScheduled")
    deleted = when(meta.get("deletionTimestamp"))
    disruption = _condition(body, "DisruptionTarget")
    return PodView(
        namespace=text(meta.get("namespace")),
        name=name,
        uid=uid,
        version=text(meta.get("resourceVersion")),
        job_uid=job_uid,
        is_indexed=LABEL_INDEX in mapping(meta.get("annotations")),
        job_name=text(dig(body, "metadata", "labels", LABEL_JOB_NAME)),
        phase=text(status.get("phase")) or "Pending",
        reason=text(status.get("reason")),
        message=text(status.get("message")),
        created_at=when(meta.get("creationTimestamp")) or 0.0,
        scheduled_at=when(scheduled.get("lastTransitionTime")) if scheduled is not None else None,
        unschedulable=_unschedulable(body),
        sandbox=_condition(body, "PodReadyToStartContainers") is not None,
        # A program that could not be started is said to have started in 1970.
        started_at=when(dig(state, "running", "startedAt")) or when(ended.get("startedAt")) or None,
        finished_at=when(ended.get("finishedAt")),
        # The kubelet says 137 of a container that it lost: that is a guess.
        exit_code=code
        if isinstance(code, int) and not isinstance(code, bool) and not lost
        else None,
        ended=text(ended.get("reason")),
        written=text(ended.get("message")) if "message" in ended else None,
        waiting=waiting,
        waiting_message=waiting_message,
        failed_init=_failed_init(body),
        disruption=None
        if disruption is None
        else ": ".join(filter(None, (text(disruption.get(k)) for k in ("reason", "message")))),
        disrupted_at=when(disruption.get("lastTransitionTime")) if disruption is not None else None,
        delete_asked_at=None
        if deleted is None
        else deleted - whole(meta.get("deletionGracePeriodSeconds")),
        containers=sum(
            len(items(dig(body, "spec", kind)))
            for kind in ("containers", "initContainers", "ephemeralContainers")
        )
        or 1,
        others_run=_others_run(body),
        ready=_condition(body, "Ready") is not None,
        finalizer=finalizer_of(body),
        recorded=dig(meta, "labels", LABEL_RECORDED) is not None,
        forced=deleted is not None and meta.get("deletionGracePeriodSeconds") == 0,
    )


def finalizer_of(body: Any) -> int | None:
    """Return the position of Podium's finalizer among those of a Pod, None if it has none."""
    finalizers = dig(body, "metadata", "finalizers")
    held = isinstance(finalizers, list) and FINALIZER in finalizers
    return finalizers.index(FINALIZER) if held else None


def _unschedulable(body: Any) -> str | None:
    for condition in items(dig(body, "status", "conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return text(condition.get("message"))
    return None


@dataclass(frozen=True, slots=True)
class RunView:
    """A WorkflowRun: what decides whether there is something to do."""

    namespace: str
    name: str
    uid: str
    version: str
    """resourceVersion."""
    generation: int
    annotations: Mapping[str, str]
    """Those of podium.dev."""
    workflow: str
    suspend: bool
    cancel: bool
    ttl: int | None
    deleting: bool
    phase: str
    started: bool
    """Whether its nodes are stored in the status."""
    completed_at: float | None
    revision: str
    former_revisions: tuple[str, ...]
    """Earlier definitions that its context versions need."""

    @property
    def ended(self) -> bool:
        """Whether nothing happens unless a node is re-run."""
        return self.phase in ("Succeeded", "Failed", "Cancelled")


def run_view(body: Any) -> RunView | None:
    """Read a WorkflowRun; None if it is none."""
    meta, spec, status = (mapping(dig(body, part)) for part in ("metadata", "spec", "status"))
    uid, name = text(meta.get("uid")), text(meta.get("name"))
    if not uid or not name:
        return None
    ttl, generation = spec.get("ttlSecondsAfterFinished"), meta.get("generation")
    return RunView(
        namespace=text(meta.get("namespace")),
        name=name,
        uid=uid,
        version=text(meta.get("resourceVersion")),
        generation=generation if isinstance(generation, int) else 0,
        annotations={
            key: value
            for key, value in mapping(meta.get("annotations")).items()
            if isinstance(value, str) and key.startswith(f"{GROUP}/")
        },
        workflow=text(dig(spec, "workflowRef", "name")),
        suspend=spec.get("suspend") is True,
        cancel=spec.get("cancel") is True,
        ttl=ttl if isinstance(ttl, int) and not isinstance(ttl, bool) else None,
        deleting=meta.get("deletionTimestamp") is not None,
        phase=text(status.get("phase")),
        started=bool(status.get("nodes") or status.get("shards")),
        completed_at=when(status.get("completedAt")),
        revision=text(status.get("workflowRevision")),
        former_revisions=tuple(
            text(mapping(each).get("revision")) for each in items(status.get("workflowRevisions"))
        ),
    )


@dataclass(frozen=True, slots=True)
class WorkflowView:
    """A Workflow: by what name runs find it."""

    namespace: str
    name: str
    id: str
    generation: int
    observed_generation: int


def workflow_view(body: Any) -> WorkflowView | None:
    """Read a Workflow; None if it is none."""
    meta = mapping(dig(body, "metadata"))
    name = text(meta.get("name"))
    generation, observed = meta.get("generation"), dig(body, "status", "observedGeneration")
    if not name:
        return None
    return WorkflowView(
        namespace=text(meta.get("namespace")),
        name=name,
        id=text(dig(body, "spec", "id")),
        generation=generation if isinstance(generation, int) else 0,
        observed_generation=observed if isinstance(observed, int) else 0,
    )
