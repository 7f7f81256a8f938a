"""The one builder of Jobs, and of the Pods of those that Podium manages."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from podium import executors
from podium.api.names import (
    FINALIZER,
    LABEL_EXECUTION,
    LABEL_NODE,
    LABEL_RUN,
    LABEL_RUN_UID,
    LABEL_WORKFLOW,
    child_name,
    label_value,
)
from podium.api.problems import errors
from podium.api.reasons import NodeReason
from podium.api.workflow import Node
from podium.artifacts.packed_input import pack_input
from podium.cluster.jobs.artifacts import handover_of
from podium.cluster.jobs.claims import claim_name, mounted_claims
from podium.cluster.jobs.errors import BuildError
from podium.cluster.jobs.given_input import given_input
from podium.cluster.jobs.pod_template import Owner, TooLargeError, build_template
from podium.cluster.kube.views import (
    ANNOTATION_EXECUTION,
    ANNOTATION_NODE,
    ANNOTATION_RESTART,
)
from podium.cluster.settings import Settings
from podium.engine import Launch, Plan
from podium.executors.persona_document import LivePersonas, live_personas
from podium.kinds.pod_fields import with_fields

__all__ = [
    "NAMES_OF_JOB",
    "PODS_OF_JOB",
    "BuildError",
    "Owner",
    "build_job",
    "build_pod",
    "is_job_name",
    "is_pod_name",
    "job_name",
    "pod_name",
    "without_finalizer",
]


NAMES_OF_JOB = 10
"""Names that are tried for a Job, at most: other objects may have the first ones."""


# The name of an execution's Job is asked for with every event of it.
@lru_cache(maxsize=8192)
def job_name(run_name: str, run_uid: str, execution: str, restart: int, number: int = 0) -> str:
    """Name the Job of an execution; a restart after a disruption that ended the Job has its own.

    `number` counts the names that other objects have already.
    """
    key = f"{execution}.{restart}" if restart else execution
    return child_name(run_name, run_uid, f"{key}~{number}" if number else key)


def is_job_name(name: str, run_name: str, run_uid: str, execution: str, restart: int) -> bool:
    """Return whether Podium may have given this name to the Job of an execution."""
    return any(
        job_name(run_name, run_uid, execution, restart, number) == name
        for number in range(NAMES_OF_JOB)
    )


MOST_DISRUPTIONS = 1000
"""What `maxDisruptions` allows at most: each one is followed by another Pod."""
PODS_OF_JOB = 50
"""Pods that one Job may have, one after another."""


def pod_name(job: str, job_uid: str, number: int) -> str:
    """Name a Pod of a managed Job; `number` counts them."""
    digest = hashlib.sha256(f"{job_uid}/{number}".encode()).hexdigest()
    return f"{job[:52].rstrip('-.')}-{digest[:10]}"


@lru_cache(maxsize=4096)
def is_pod_name(name: str, job: str, job_uid: str) -> bool:
    """Return whether Podium may have given this name to a Pod of a managed Job."""
    numbers = range(MOST_DISRUPTIONS + PODS_OF_JOB)
    return any(pod_name(job, job_uid, number) == name for number in numbers)


def build_job(owner: Owner, plan: Plan, launch: Launch, settings: Settings) -> dict[str, Any]:
    """Build the Job of an execution. Raises `BuildError`."""
    node = plan.nodes[launch.node]
    if launch.fields:
        node = replace(node, definition=with_fields(node.definition, launch.fields))
    try:
        workload = executors.workload(node.definition, launch.config, launch.template)
    except ValueError as error:
        words = str(error)
        if (executor := executors.get(node.definition.executor or "")) is not None:
            filled = node.definition.model_copy(update={"config": dict(launch.config)})
            words = "; ".join(str(problem) for problem in errors(executor.validate(filled)))
        raise BuildError(NodeReason.CONFIG, f"its templates filled in: {words}") from None
    labels = {
        "app.kubernetes.io/managed-by": "podium",
        "app.kubernetes.io/part-of": label_value(owner.workflow),
        LABEL_WORKFLOW: label_value(owner.workflow),
        LABEL_RUN: label_value(owner.name),
        LABEL_RUN_UID: owner.uid,
        LABEL_NODE: label_value(launch.node),
        LABEL_EXECUTION: label_value(launch.execution_id),
    }
    live = _live(owner, plan, launch, node.definition) if workload.uses_recorded else None
    claims = {
        claim.name: owner.claims.get(claim.name) or claim_name(owner.name, owner.uid, claim.name)
        for claim in mounted_claims(plan.spec, node.definition)
    }
    has_store = settings.artifacts.of(plan.spec.pinned_store).has_store
    given = owner.given or given_input(launch.input, has_store=has_store)
    facts = (owner, node, launch, workload, settings, labels, claims, live, given.text)
    hand = partial(handover_of, owner.uid, plan, launch, owner.found, owner.large)
    try:
        template = build_template(*facts, hand(carried=given.carried))
    except TooLargeError:
        packed = given.packed or pack_input(given.text)
        if given.carried is not None or packed is None:
            raise
        template = build_template(*facts, hand(packed))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(owner.name, owner.uid, launch.execution_id, launch.restart),
            "namespace": owner.namespace,
            "labels": labels,
            "annotations": {
                ANNOTATION_NODE: launch.node,
                ANNOTATION_EXECUTION: launch.execution_id,
                **({ANNOTATION_RESTART: str(launch.restart)} if launch.restart else {}),
            },
            "ownerReferences": [owner.reference()],
        },
        "spec": {
            # A server that does not know the field drops it: then the built-in controller acts.
            **({"managedBy": settings.manager} if settings.manages else {}),
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            # Two Pods of one node must not write the same output.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    }
                ]
            },
            "template": template,
        },
    }


def _live(owner: Owner, plan: Plan, launch: Launch, node: Node) -> LivePersonas | None:
    """Return what a node's personas are told to ask models; None: their answers are recorded."""
    if owner.recorded is not None:
        return None
    try:
        return live_personas(node, launch.config, plan.spec, launch.limits)
    except ValueError as error:
        raise BuildError(NodeReason.NO_RECORDED_ANSWER, str(error)) from None


def build_pod(job: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Build a Pod of a managed Job from the Job as the server returned it (kubernetes.md 3).

    The server, and webhooks, have added to the template. `number` counts the Pods of the Job.
    """
    meta, template = job["metadata"], job["spec"]["template"]
    given = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(meta["name"], meta["uid"], number),
            "namespace": meta["namespace"],
            "labels": given.get("labels") or {},
            "annotations": given.get("annotations") or {},
            "finalizers": [FINALIZER],
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": meta["name"],
                    "uid": meta["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": template["spec"],
    }


def without_finalizer(position: int) -> list[dict[str, Any]]:
    """Return the JSON Patch that takes Podium's finalizer off a Pod; 422: it has moved."""
    at = f"/metadata/finalizers/{position}"
    return [{"op": "test", "path": at, "value": FINALIZER}, {"op": "remove", "path": at}]
