"""The PersistentVolumeClaims of a run: what they are made of, and which ones are the run's own."""

from collections.abc import Mapping
from typing import Any

from podium.api.names import (
    LABEL_CLAIM,
    LABEL_RUN,
    LABEL_RUN_UID,
    LABEL_WORKFLOW,
    child_name,
    label_value,
)
from podium.api.workflow import Node, VolumeClaim, WorkflowSpec
from podium.cluster.jobs.pod_template import Owner
from podium.cluster.kube.views import dig, items

__all__ = ["NAMES_OF_CLAIM", "build_claim", "claim_name", "is_own_claim", "mounted_claims"]

NAMES_OF_CLAIM = 3
"""Names that are tried for a claim, at most: other objects may have the first ones."""


def claim_name(run_name: str, run_uid: str, claim: str, number: int = 0) -> str:
    """Name a claim of a run; `number` counts the names that other objects have already."""
    return child_name(run_name, run_uid, f"{claim}~{number}" if number else claim)


def mounted_claims(spec: WorkflowSpec, node: Node) -> list[VolumeClaim]:
    """Return the claims that a node, with the workflow's defaults, mounts."""
    mounts = node.pod.volume_mounts if node.pod is not None else ()
    if not mounts or not spec.volume_claims:
        return []
    named = {mount.name for mount in mounts}
    return [claim for claim in spec.volume_claims if claim.name in named]


def build_claim(owner: Owner, claim: VolumeClaim, name: str) -> dict[str, Any]:
    """Build a claim of a run; one that is kept has no owner, so that it outlives the run."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": {
                "app.kubernetes.io/managed-by": "podium",
                "app.kubernetes.io/part-of": label_value(owner.workflow),
                LABEL_WORKFLOW: label_value(owner.workflow),
                LABEL_RUN: label_value(owner.name),
                LABEL_RUN_UID: owner.uid,
                LABEL_CLAIM: claim.name,
            },
            **({} if claim.keep else {"ownerReferences": [owner.reference()]}),
        },
        "spec": {
            "accessModes": [mode.value for mode in claim.access_modes],
            "resources": {"requests": {"storage": str(claim.size)}},
            **({"storageClassName": claim.storage_class} if claim.storage_class else {}),
        },
    }


def is_own_claim(owner: Owner, claim: str, found: Mapping[str, Any]) -> bool:
    """Return whether an object that has a name of a claim is that claim of the run.

    A re-run at a newer revision may keep what was not kept before, or ask for another size: the
    claim that is there stays as it is.
    """
    labels = dig(found, "metadata", "labels") or {}
    owners = items(dig(found, "metadata", "ownerReferences"))
    return (
        labels.get(LABEL_RUN_UID) == owner.uid
        and labels.get(LABEL_CLAIM) == claim
        and all(each.get("uid") == owner.uid for each in owners)
    )
