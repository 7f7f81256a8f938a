"""What the operator keeps of a Pod."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from podium.api.names import LABEL_RECORDED, MAX_PATH
from podium.cluster.kube.views.fields import (
    controller_of,
    dig,
    finalizer_of,
    items,
    mapping,
    text,
    when,
    whole,
)
from podium.cluster.kube.views.job import ANNOTATION_EXECUTION, ANNOTATION_NODE

__all__ = [
    "COLLECTOR",
    "CONTAINER",
    "FETCHER",
    "GRACE_SECONDS",
    "LABEL_INDEX",
    "HelperEnd",
    "PodView",
    "helper_end",
    "pod_view",
]

LABEL_INDEX = "batch.kubernetes.io/job-completion-index"
"""Annotation (and label) on the Pods of an Indexed Job."""
MAX_EXECUTION = MAX_PATH + 20
LABEL_JOB_UID = "batch.kubernetes.io/controller-uid"
LABEL_JOB_NAME = "batch.kubernetes.io/job-name"

CONTAINER = "node"
"""Name of the one container whose word counts."""
COLLECTOR, FETCHER = "podium-collector", "podium-fetcher"
"""Names of Podium's own containers beside it: they store what it leaves, lay out what it finds."""
GRACE_SECONDS = 5
"""Between SIGTERM and SIGKILL, as on a laptop."""
UNKNOWN = "ContainerStatusUnknown"
"""The kubelet's reason for the end of a container that it no longer finds."""


@dataclass(frozen=True, slots=True)
class HelperEnd:
    """How a container of Podium's own ended."""

    exit_code: int
    reason: str
    """Such as OOMKilled."""
    written: str
    """Its termination message."""


@dataclass(frozen=True, slots=True)
class PodView:
    """A Pod of a Job; of its containers `node` is looked at, and Podium's own."""

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
    """Whether it vanished: this is its last known state."""
    grace: float = 0.0
    """Seconds that its programs have to end once its deletion was asked for."""
    collects: bool = False
    """Whether a container beside the program stores what it leaves."""
    collected: HelperEnd | None = None
    """How that ended; None: it has not, or it is not known."""
    fetch_failed: HelperEnd | None = None
    """How the container that lays out artifacts failed."""
    by_label: bool = False
    """Whether only a label says whose it is: its Job was deleted, and it was left alone."""
    is_indexed: bool = False
    """Whether it is one of the Pods of an Indexed Job."""
    item: str = ""
    """Of a Pod of an Indexed Job: the item that it says it is of, such as `node[3]`."""
    execution: str = ""
    """Of that item. Both are to be verified against the name."""

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
    def ends_slowly(self) -> bool:
        """Whether its program is waited for as long as what stores its artifacts."""
        return self.collects and self.program_alive and self.grace > GRACE_SECONDS

    @property
    def ran_out(self) -> bool:
        """Whether its programs have ended."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def asked_to_end(self) -> bool:
        """Whether its deletion was asked for before it ended, as far as whole seconds tell."""
        asked, ended = self.delete_asked_at, self.finished_at
        return asked is not None and (ended is None or ended >= asked)


Statuses = list[Mapping[str, Any]]
"""Of containers."""


def _own(statuses: Statuses) -> Mapping[str, Any]:
    """Return the status of the container `node`."""
    return next((each for each in statuses if each.get("name") == CONTAINER), {})


def _terminated(container: Mapping[str, Any], state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how a container ended; where the kubelet lost it, as it was last known to end."""
    ended = mapping(state.get("terminated"))
    if ended.get("reason") == UNKNOWN:
        last = mapping(dig(container, "lastState", "terminated"))
        if last and last.get("reason") != UNKNOWN:
            return last
    return ended


def _runs(status: Mapping[str, Any], *own: str) -> bool:
    """Return whether a container beside `node` runs, or waits for its start.

    `own` are other ones whose end the outcome waits for.
    """
    state = mapping(status.get("state"))
    return status.get("name") not in (CONTAINER, *own) and bool(
        state.get("running") is not None or state.get("waiting")
    )


def helper_end(init_statuses: Statuses, name: str) -> HelperEnd | None:
    """Return how a container of Podium's own beside a node's ended; None: it has not."""
    status = next((each for each in init_statuses if each.get("name") == name), {})
    ended = mapping(dig(status, "state", "terminated"))
    code = ended.get("exitCode")
    if not isinstance(code, int) or isinstance(code, bool):
        return None
    return HelperEnd(code, text(ended.get("reason")), text(ended.get("message")))


def _waiting(state: Mapping[str, Any], init_statuses: Statuses) -> tuple[str, str]:
    """Return what keeps the program from its start, and the kubelet's words.

    While the container `node` waits for the init containers, what keeps one of them counts.
    """
    own = mapping(state.get("waiting"))
    reason, message = text(own.get("reason")), text(own.get("message"))
    if reason in ("", "PodInitializing", "ContainerCreating") and not state.get("terminated"):
        for status in init_statuses:
            init = mapping(dig(status, "state", "waiting"))
            word = text(init.get("reason"))
            if word and word not in ("PodInitializing", "ContainerCreating"):
                named = f"init container {text(status.get('name'))}"
                return word, f"{named}: {text(init.get('message')) or word}"
    return reason, message


def _failed_init(init_statuses: Statuses) -> str:
    """Describe the init container that ended a Pod; empty: none did."""
    for status in init_statuses:
        ended = mapping(dig(status, "state", "terminated"))
        code = ended.get("exitCode")
        if isinstance(code, int) and code != 0:
            words = text(ended.get("message")).strip() or text(ended.get("reason"))
            failure = f"the init container {text(status.get('name'))} failed with exit code {code}"
            return f"{failure}: {words[-300:]}" if words else failure
    return ""


def pod_view(body: Any, made_for: str | None = None) -> PodView | None:
    """Read a Pod; None if no Job controls it.

    `made_for`: the UID of the Job that is known to have controlled it. Of a Pod that still waits
    to be let go, the label that every Pod of a Job has says it, too.
    """
    job_uid = controller_of(body, "Job", "batch/v1") or made_for
    by_label = job_uid is None
    if job_uid is None and finalizer_of(body) is not None:
        job_uid = text(dig(body, "metadata", "labels", LABEL_JOB_UID)) or None
    meta, status, spec = (mapping(dig(body, part)) for part in ("metadata", "status", "spec"))
    uid, name = text(meta.get("uid")), text(meta.get("name"))
    if job_uid is None or not uid:
        return None
    labels, notes = mapping(meta.get("labels")), mapping(meta.get("annotations"))
    item = _item(notes)
    if item is not None and "/" not in job_uid:
        job_uid = f"{job_uid}/{item[1]}"
    statuses, init_statuses, ephemeral = (
        items(status.get(kind))
        for kind in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    )
    container = _own(statuses)
    state = mapping(container.get("state"))
    ended = _terminated(container, state)
    waiting, waiting_message = _waiting(state, init_statuses)
    code = ended.get("exitCode")
    lost = ended.get("reason") == UNKNOWN
    fetched = helper_end(init_statuses, FETCHER)
    conditions = items(status.get("conditions"))
    true = {text(each.get("type")): each for each in conditions if each.get("status") == "True"}
    scheduled, disruption = true.get("PodScheduled"), true.get("DisruptionTarget")
    deleted = when(meta.get("deletionTimestamp"))
    return PodView(
        namespace=text(meta.get("namespace")),
        name=name,
        uid=uid,
        version=text(meta.get("resourceVersion")),
        job_uid=job_uid,
        by_label=by_label,
        is_indexed=LABEL_INDEX in notes,
        item=item[0] if item is not None else "",
        execution=item[1] if item is not None else "",
        job_name=text(labels.get(LABEL_JOB_NAME)),
        phase=text(status.get("phase")) or "Pending",
        reason=text(status.get("reason")),
        message=text(status.get("message")),
        created_at=when(meta.get("creationTimestamp")) or 0.0,
        scheduled_at=when(scheduled.get("lastTransitionTime")) if scheduled is not None else None,
        unschedulable=_unschedulable(conditions),
        sandbox="PodReadyToStartContainers" in true,
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
        failed_init=_failed_init(init_statuses),
        disruption=None
        if disruption is None
        else ": ".join(filter(None, (text(disruption.get(k)) for k in ("reason", "message")))),
        disrupted_at=when(disruption.get("lastTransitionTime")) if disruption is not None else None,
        delete_asked_at=None
        if deleted is None
        else deleted - whole(meta.get("deletionGracePeriodSeconds")),
        containers=sum(
            len(items(spec.get(kind)))
            for kind in ("containers", "initContainers", "ephemeralContainers")
        )
        or 1,
        # Of init containers only those that run on: native sidecars.
        # What a program left is stored only where it succeeded.
        others_run=any(
            _runs(each, *((COLLECTOR,) if code == 0 else ()))
            for each in (*statuses, *init_statuses, *ephemeral)
        ),
        grace=whole(meta.get("deletionGracePeriodSeconds")),
        collects=any(each.get("name") == COLLECTOR for each in items(spec.get("initContainers"))),
        collected=helper_end(init_statuses, COLLECTOR),
        fetch_failed=fetched if fetched is not None and fetched.exit_code != 0 else None,
        ready="Ready" in true,
        finalizer=finalizer_of(body),
        recorded=labels.get(LABEL_RECORDED) is not None,
        forced=deleted is not None and meta.get("deletionGracePeriodSeconds") == 0,
    )


def _item(notes: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return which item of a map a Pod says it is of, and which execution; None: of none."""
    if LABEL_INDEX not in notes:
        return None
    node, execution = text(notes.get(ANNOTATION_NODE)), text(notes.get(ANNOTATION_EXECUTION))
    is_sane = 0 < len(node) <= MAX_PATH and 0 < len(execution) <= MAX_EXECUTION
    return (node, execution) if is_sane and "/" not in execution else None


def _unschedulable(conditions: Statuses) -> str | None:
    for each in conditions:
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            return text(each.get("message"))
    return None
