"""The one Indexed Job of a map, and the Pods of its items.

The Job's template is what all items have in common, so it is the same whichever item comes first.
A Pod is made of that template as the server returned it, with what is of its own item: its program
and its input, which is an annotation of the Pod as any node's (kubernetes.md 18).
"""

import copy
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from podium.api.names import (
    FINALIZER,
    LABEL_EXECUTION,
    child_name,
    label_value,
)
from podium.cluster.jobs.artifacts import ANNOTATION_ARTIFACTS, ANNOTATION_INPUT
from podium.cluster.jobs.builder import MOST_DISRUPTIONS, PODS_OF_JOB
from podium.cluster.kube.views import (
    ANNOTATION_EXECUTION,
    ANNOTATION_NODE,
    CONTAINER,
    LABEL_INDEX,
    items,
    mapping,
)

__all__ = ["JOB_NAME_CHARACTERS", "build_item_pod", "build_map_job", "is_item_pod_name", "map_name"]

JOB_NAME_CHARACTERS = 57
"""Of an Indexed Job: with `-99999` it must still be a host's name of 63."""
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
_OF_AN_ITEM: Final = ("command", "args")
"""Fields of its container that an item's templates fill in."""


@lru_cache(maxsize=1024)
def map_name(run_name: str, run_uid: str, execution: str, number: int = 0) -> str:
    """Name the Indexed Job of a map's execution; `number` counts names that others have."""
    key = f"{execution}~{number}" if number else execution
    return child_name(run_name, run_uid, key, characters=JOB_NAME_CHARACTERS)


def build_map_job(
    common: Mapping[str, Any], *, name: str, completions: int, parallelism: int, tries: int
) -> dict[str, Any]:
    """Build the Indexed Job of a map from the Job of the node as if it were a node of its own.

    `tries` is how often an item may be tried. Podium carries that out, and says so in the field
    that others read.
    """
    spec = {key: value for key, value in common["spec"].items() if key != "template"}
    template = copy.deepcopy(common["spec"]["template"])
    notes = template["metadata"]["annotations"]
    for of_an_item in (ANNOTATION_INPUT, ANNOTATION_ARTIFACTS):
        notes.pop(of_an_item, None)
    return {
        **common,
        "metadata": {**common["metadata"], "name": name},
        "spec": {
            **spec,
            "completionMode": "Indexed",
            "completions": completions,
            "parallelism": max(1, min(parallelism, completions)),
            "backoffLimitPerIndex": max(0, tries - 1),
            "template": template,
        },
    }


def build_item_pod(
    job: Mapping[str, Any], item: Mapping[str, Any], index: int, number: int
) -> dict[str, Any]:
    """Build the Pod of an item from the Job as the server returned it.

    `item` is the Job of the item as if it were a node of its own. `number` counts the Pods of
    this execution.
    """
    meta, template = job["metadata"], job["spec"]["template"]
    own, notes = item["spec"]["template"], item["metadata"]["annotations"]
    given, ours = mapping(template.get("metadata")), own["metadata"]
    execution = notes[ANNOTATION_EXECUTION]
    place = {LABEL_INDEX: str(index)}
    of_item = {LABEL_EXECUTION: label_value(execution)}
    told = {ANNOTATION_NODE: notes[ANNOTATION_NODE], ANNOTATION_EXECUTION: execution}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": _pod_name(meta["name"], meta["uid"], execution, index, number),
            "namespace": meta["namespace"],
            "labels": {**ours["labels"], **mapping(given.get("labels")), **of_item, **place},
            "annotations": {
                **mapping(given.get("annotations")),
                **ours["annotations"],
                **told,
                **place,
            },
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
        "spec": _spec(template["spec"], own["spec"], f"{meta['name']}-{index}"),
    }


def is_item_pod_name(name: str, job: str, job_uid: str, execution: str, index: int) -> bool:
    """Return whether Podium may have given this name to a Pod of an item's execution."""
    numbers = range(MOST_DISRUPTIONS + PODS_OF_JOB)
    return any(_pod_name(job, job_uid, execution, index, n) == name for n in numbers)


@lru_cache(maxsize=4096)
def _pod_name(job: str, job_uid: str, execution: str, index: int, number: int) -> str:
    digest = hashlib.sha256(f"{job_uid}/{execution}/{number}".encode()).hexdigest()
    return f"{job[:46].rstrip('-.')}-{index}-{digest[:10]}"


def _spec(theirs: Mapping[str, Any], ours: Mapping[str, Any], hostname: str) -> dict[str, Any]:
    """Return the `spec` of an item's Pod: where it runs is the Job's, what it runs the item's."""
    spec = {**theirs, "hostname": hostname}
    for kind in ("initContainers", "containers"):
        known = {each.get("name"): each for each in items(ours.get(kind))}
        named = [each.get("name") for each in items(theirs.get(kind))]
        merged = [_container(each, known.get(each.get("name"))) for each in items(theirs.get(kind))]
        merged += [dict(each) for name, each in known.items() if name not in named]
        if merged:
            spec[kind] = merged
    if volumes := _joined(items(ours.get("volumes")), items(theirs.get("volumes")), "name"):
        spec["volumes"] = volumes
    return spec


def _container(theirs: Mapping[str, Any], ours: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a container of the Job's template with what is of the item."""
    if ours is None:
        return dict(theirs)
    made = {**theirs, **{key: ours[key] for key in _OF_AN_ITEM if key in ours}}
    if "${{" in str(theirs.get("image")):
        made["image"] = ours["image"]
    env: list[Mapping[str, Any]] = [*items(ours.get("env"))]
    if ours.get("name") == CONTAINER:
        source = {"fieldRef": {"fieldPath": f"metadata.annotations['{LABEL_INDEX}']"}}
        env = _joined(env, [{"name": INDEX_VARIABLE, "valueFrom": source}], "name")
    for key, own, by in (
        ("env", env, "name"),
        ("volumeMounts", items(ours.get("volumeMounts")), "mountPath"),
    ):
        if whole := _joined(own, items(theirs.get(key)), by):
            made[key] = whole
    return made


def _joined(
    first: Sequence[Mapping[str, Any]], more: Iterable[Mapping[str, Any]], key: str
) -> list[Mapping[str, Any]]:
    """Return a list with what another one has beyond it, by the name of each part."""
    names = {each.get(key) for each in first}
    return [*first, *(each for each in more if each.get(key) not in names)]
