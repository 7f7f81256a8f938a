"""Pods that carry an input to the store, a piece each, for a node whose own Pod cannot hold it.

The operator has the input and no credentials of a store; only Podium's own containers have these.
A piece is found by its digest, which the node's Pod is told: whoever forges such a Pod changes no
input.
"""

import copy
from collections.abc import Mapping
from typing import Any

from podium.api.names import (
    LABEL_EXECUTION,
    LABEL_NODE,
    LABEL_RUN,
    LABEL_RUN_UID,
    child_name,
    label_value,
)
from podium.artifacts.packed_input import variables_of
from podium.artifacts.pod import STORE_PATH, UPLOAD_VARIABLE, Task
from podium.cluster.jobs.artifact_store import STORE_VOLUME, store_variables, store_volume
from podium.cluster.jobs.artifacts import helper_container
from podium.cluster.jobs.pod_security import container_security, pod_security
from podium.cluster.jobs.pod_template import Owner
from podium.cluster.jobs.pod_volumes import ANNOTATION_ARTIFACTS, Volumes, mount
from podium.cluster.kube.views import CONTAINER, FETCHER, GRACE_SECONDS
from podium.cluster.settings import Settings
from podium.engine import Launch, Plan

__all__ = ["build_carrier"]

_LIKE_THE_NODE = (
    *("nodeSelector", "tolerations", "priorityClassName", "serviceAccountName"),
    "imagePullSecrets",
)
"""What its Pod has of that of the node: where it may run, and as whom it reaches the store."""


def build_carrier(
    owner: Owner,
    plan: Plan,
    launch: Launch,
    job: Mapping[str, Any],
    piece: bytes,
    digest: str,
    settings: Settings,
    number: int = 0,
) -> dict[str, Any]:
    """Build the Pod that stores a piece of an input; `job` is that of the node.

    `number` counts the Pods for this piece.
    Its second container, which Kubernetes demands, has nothing to do.
    """
    artifacts = settings.artifacts.of(plan.spec.pinned_store)
    template = job["spec"]["template"]["spec"]
    defaults = copy.deepcopy(settings.pod_defaults)
    for key in ("env", "resources"):
        defaults.pop(key, None)
    labels, notes = defaults.pop("labels", {}), defaults.pop("annotations", {})
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": artifacts.image or settings.runner_image,
        "command": ["true"],
        # All that the server would add, else the Pod is not known again.
        "resources": artifacts.resources,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "securityContext": container_security(),
    }
    spec: dict[str, Any] = {
        **defaults,
        **{key: template[key] for key in _LIKE_THE_NODE if key in template},
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": pod_security(settings, has_claims=bool(artifacts.claim)),
        "containers": [container],
    }
    task = Task(owner.uid, launch.node, launch.execution_id, carries=digest)
    volumes = Volumes(spec, container, {})
    mounts = volumes.task()
    volumes.volume(STORE_VOLUME, store_volume(artifacts))
    mounts.append(mount(STORE_VOLUME, STORE_PATH, read_only=not artifacts.claim))
    told = {
        **store_variables(owner.namespace, artifacts),
        **variables_of(piece),
        UPLOAD_VARIABLE: str(artifacts.upload_seconds),
    }
    spec["initContainers"] = [helper_container(FETCHER, mounts, told, artifacts, settings)]
    del container["volumeMounts"]
    notes = {**notes, ANNOTATION_ARTIFACTS: task.dump()}
    if artifacts.role:
        notes.setdefault("eks.amazonaws.com/skip-containers", CONTAINER)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": child_name(owner.name, owner.uid, f"{launch.execution_id}~{digest}~{number}"),
            "namespace": owner.namespace,
            "labels": {
                **labels,
                "app.kubernetes.io/managed-by": "podium",
                "app.kubernetes.io/part-of": label_value(owner.workflow),
                "app.kubernetes.io/component": "input",
                LABEL_RUN: label_value(owner.name),
                LABEL_RUN_UID: owner.uid,
                LABEL_NODE: "",  # it is none of the node's own
                LABEL_EXECUTION: label_value(launch.execution_id),
            },
            "annotations": notes,
            "ownerReferences": [owner.reference()],
        },
        "spec": spec,
    }
