"""Whether the platform ended a Pod, or its program ended by itself (semantics.md 6). Pure."""

from podium.cluster.kube.views import JobView, PodView

__all__ = ["is_disruption", "is_overlooked"]

STALE_DISRUPTION_SECONDS = 120.0
"""A disruption that was announced this long before a program ended, and deleted no Pod, did not end
it: Kubernetes takes such a condition back after this time, too."""

_REFUSED_BY_KUBELET = (
    "OutOf",
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "NodeShutdown",
    "NodeUnschedulable",
    "InvalidNodeInfo",
    "Preempting",
    "Shutdown",
    "TaintToleration",
    "TopologyAffinityError",
    "UnexpectedAdmissionError",
    "UnexpectedPredicateFailureType",
)
"""Beginnings of the reasons for which one machine refuses a Pod that another one may take."""
_REJECTED = "Pod was rejected"
"""How the kubelet's message begins for any refusal, of later versions too."""
_NO_MACHINE = frozenset(
    {"AppArmor", "NoNewPrivs", "PodOSNotSupported", "PodOSSelectorNodeLabelDoesNotMatch"}
    | {"ProcMount", "SysctlForbidden"}
)
"""Refusals for what the Pod asks for: the next machine refuses it as well."""


def is_disruption(pod: PodView) -> bool:
    """Return whether the platform ended a Pod, or refused it, rather than its program."""
    if pod.disruption is not None:
        return not _ended_undisturbed(pod)
    if pod.started_at is not None or pod.exit_code is not None or pod.phase != "Failed":
        return False
    refused = pod.reason.startswith(_REFUSED_BY_KUBELET) or pod.message.startswith(_REJECTED)
    return refused and pod.reason not in _NO_MACHINE


def _ended_undisturbed(pod: PodView) -> bool:
    """Return whether the program of a Pod that is marked as disrupted ended by itself."""
    ended, announced = pod.finished_at, pod.disrupted_at
    if pod.exit_code is None or ended is None or announced is None:
        return False
    return ended < announced or _was_not_carried_out(pod)


def _was_not_carried_out(pod: PodView) -> bool:
    """Return whether a disruption was announced, and the program ended by itself long after.

    Whoever announces one deletes the Pod next. The kubelet ends Pods without deleting them, and
    may take its time.
    """
    ended, announced = pod.finished_at, pod.disrupted_at
    if pod.exit_code is None or ended is None or announced is None:
        return False
    is_stale = ended - announced > STALE_DISRUPTION_SECONDS
    is_kubelets = (pod.disruption or "").startswith("TerminationByKubelet")
    return is_stale and not is_kubelets and not pod.asked_to_end


def is_overlooked(pod: PodView, job: JobView | None) -> bool:
    """Return whether the built-in controller takes a program's own end for a disruption.

    Its podFailurePolicy knows the condition only, so it replaces the Pod, and the Job must go.
    """
    is_built_in = job is not None and not job.managed_by
    return is_built_in and not pod.alive and _was_not_carried_out(pod)
