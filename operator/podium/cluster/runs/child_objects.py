"""The WorkflowRun of a child: what it is made of, and whether one that is there is that."""

from collections.abc import Mapping
from typing import Any

from podium import kinds
from podium.api.child_runs import CHILD_ANNOTATIONS as KEYS
from podium.api.child_runs import LABEL_PARENT, Parent
from podium.api.names import (
    API_VERSION,
    LABEL_EXECUTION,
    LABEL_NODE,
    LABEL_RUN,
    LABEL_WORKFLOW,
    label_value,
    split_item,
)
from podium.api.reasons import NodeReason
from podium.api.run import NodeState, NodeStatus, Requester, RunPhase
from podium.cluster.jobs.builder import Owner
from podium.cluster.kube.views import RunView, dig, items, mapping, text, when
from podium.cluster.runs.active_run import Child
from podium.cluster.runs.requests import REQUESTED_BY
from podium.cluster.watch.store import InformerCache
from podium.engine import AttemptPhase, ChildState, Launch, Observation, Plan

__all__ = [
    "SUSPENDED",
    "asked_of",
    "build_child",
    "control_change",
    "deleted",
    "has_parent",
    "is_child_as_built",
    "is_recorded",
    "may_have_child",
    "state_of",
]

SUSPENDED = KEYS.suspended
_CONTROLS = frozenset({"suspend", "cancel", "terminate"})
"""Fields of a run's spec that may change."""


def build_child(
    owner: Owner, name: str, launch: Launch, depth: int, root: str, requester: Requester | None
) -> dict[str, Any]:
    """Build the child run of an execution.

    `depth` is that of the child, `root` the UID of the run above all.
    """
    workflow = launch.config["workflowRef"]["name"]
    spec: dict[str, Any] = {"workflowRef": {"name": workflow}}
    if launch.config.get("context"):
        spec["context"] = launch.config["context"]
    if owner.recorded is not None:
        spec["recordedAnswers"] = owner.recorded.model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
    parent = Parent(owner.name, owner.uid, launch.node, launch.execution_id, depth, root)
    annotations = parent.annotations()
    if requester is not None:
        annotations[REQUESTED_BY] = requester.name
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkflowRun",
        "metadata": {
            "namespace": owner.namespace,
            "name": name,
            "labels": {
                "app.kubernetes.io/managed-by": "podium",
                "app.kubernetes.io/part-of": label_value(workflow),
                LABEL_WORKFLOW: label_value(workflow),
                LABEL_RUN: label_value(owner.name),
                LABEL_PARENT: owner.uid,
                LABEL_NODE: label_value(launch.node),
                LABEL_EXECUTION: label_value(launch.execution_id),
            },
            "annotations": annotations,
            "ownerReferences": [owner.reference()],
        },
        "spec": spec,
    }


def is_child_as_built(built: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Return whether a run is what was just built, under the same owner: a crashed operator's."""
    for part in ("labels", "annotations"):
        ours, theirs = built["metadata"][part], mapping(dig(found, "metadata", part))
        if any(theirs.get(key) != value for key, value in ours.items()):
            return False
    if dig(found, "metadata", "ownerReferences") != built["metadata"]["ownerReferences"]:
        return False
    theirs = {k: v for k, v in mapping(found.get("spec")).items() if k not in _CONTROLS}
    return bool(theirs == built["spec"])


def control_change(asked: Mapping[str, bool], had: Mapping[str, bool]) -> dict[str, Any]:
    """Return the changes of a child by which it is asked what its parent is asked; empty: none."""
    spec = {field: value for field, value in asked.items() if had.get(field, False) != value}
    if not spec:
        return {}
    # Only what the parent suspended does it resume.
    marked = {SUSPENDED: "true" if asked["suspend"] else None}
    return {"spec": spec, "metadata": {"annotations": marked}}


def has_parent(cache: InformerCache, view: RunView) -> bool:
    """Return whether a run is a child whose parent is there: it goes with that one."""
    parent = view.parent
    return parent is not None and cache.keys.get(parent.uid) == (view.namespace, parent.run)


def may_have_child(plan: Plan, states: Mapping[str, NodeState], node: str) -> bool:
    """Return whether an execution of a node is a child run, or was one by an earlier definition."""
    state = states.get(node)
    if state is not None and state.child_run is not None:
        return True
    if (item := split_item(node)) is not None:
        whole = states.get(item[0])
        return item[0] in plan.for_each or (whole is not None and whole.items is not None)
    planned = plan.nodes.get(node)
    return planned is not None and node not in plan.for_each and kinds.has_child(planned.definition)


def is_recorded(state: NodeState | None, execution: str) -> bool:
    """Return whether the status says that an execution runs, and as what, or that it completed."""
    if state is None or state.execution_id != execution:
        return False
    return state.status in (NodeStatus.RUNNING, NodeStatus.COMPLETED)


def asked_of(body: Mapping[str, Any]) -> dict[str, bool]:
    """Return what a child is asked for, as far as its parent does that."""
    annotations = mapping(dig(body, "metadata", "annotations"))
    spec = mapping(body.get("spec"))
    return {
        "suspend": annotations.get(SUSPENDED) == "true",
        "cancel": spec.get("cancel") is True,
        "terminate": spec.get("terminate") is True,
    }


def state_of(status: Mapping[str, Any]) -> ChildState:
    """Read the status of a child; whoever may write it may write anything."""
    phase = status.get("phase")
    known = phase if isinstance(phase, str) and phase in set(RunPhase) else RunPhase.PENDING
    conditions = [mapping(each) for each in items(status.get("conditions"))]
    condition = next((each for each in conditions if each.get("type") == "Succeeded"), {})
    if not condition or RunPhase(known) is RunPhase.PENDING:  # what keeps it from its start
        condition = next(
            (each for each in conditions if each.get("status") != "True" and each.get("reason")),
            condition,
        )
    outputs = status.get("outputs")
    return ChildState(
        RunPhase(known),
        when(status.get("startedAt")),
        when(status.get("completedAt")),
        text(condition.get("reason")) or text(status.get("reason")),
        text(condition.get("message")),
        outputs if isinstance(outputs, dict) else None,
    )


def deleted(child: Child, execution: str) -> Observation:
    """Report that a child is gone."""
    return Observation(
        child.node,
        execution,
        AttemptPhase.FAILED,
        reason=NodeReason.CHILD_RUN_DELETED,
        message="its child run was deleted before it had ended",
        job_uid=child.uid,
        child_run=child.name,
    )
