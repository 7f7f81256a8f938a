"""What the container of a node runs, and the volumes with the files that it needs for it."""

from collections.abc import Mapping
from typing import Any

import orjson

from podium.api.names import GROUP
from podium.api.reasons import NodeReason
from podium.api.run import RecordedAnswers
from podium.cluster.jobs.artifacts import IN_PATH, IN_VOLUME, OUT_PATH, OUT_VOLUME
from podium.cluster.jobs.errors import BuildError
from podium.cluster.jobs.executor_pod import literal
from podium.executors import Runtime, Workload
from podium.executors.persona_document import LivePersonas

__all__ = [
    "GIVEN",
    "PERSONAS_FILE",
    "RECORDED",
    "RECORDED_VOLUME",
    "add_program",
    "from_annotation",
]

ANNOTATION_SCRIPT = f"{GROUP}/script"
ANNOTATION_PERSONAS = f"{GROUP}/personas"
PERSONAS_FILE = "personas.json"
GIVEN = "/podium/given"
RECORDED = "/podium/recorded"
RECORDED_VOLUME = "podium-recorded"


def add_program(
    recorded: RecordedAnswers | None,
    workload: Workload,
    container: dict[str, Any],
    volumes: list[dict[str, Any]],
    mounts: list[dict[str, Any]],
    annotations: dict[str, str],
    files: list[dict[str, Any]],
    live: LivePersonas | None,
) -> None:
    """Add what the container runs, and the files that it needs for it, beside `files`.

    `live` is what personas are told that ask models. Raises `BuildError`.
    """
    match workload.runtime:
        case Runtime.CONTAINER:
            if workload.command:
                container["command"] = [literal(word) for word in workload.command]
            if workload.args:
                container["args"] = [literal(word) for word in workload.args]
        case Runtime.SCRIPT:
            annotations[ANNOTATION_SCRIPT] = workload.script or ""
            files.append(from_annotation("script", ANNOTATION_SCRIPT))
            container["command"] = [*map(literal, workload.interpreter), f"{GIVEN}/script"]
            if workload.image is None:
                container["workingDir"] = "/tmp"  # noqa: S108 - of the container
        case Runtime.RUNNER:
            container["command"] = ["python3", "-m", "podium.runner", *workload.command]
            if live is None:
                _add_volume(volumes, mounts, RECORDED_VOLUME, RECORDED, _recorded(recorded))
            else:
                annotations[ANNOTATION_PERSONAS] = orjson.dumps(live.document).decode()
                files.append(from_annotation(PERSONAS_FILE, ANNOTATION_PERSONAS))
    if files:
        source = {"downwardAPI": {"items": files}}
        _add_volume(volumes, mounts, "podium-given", GIVEN, source)
    if workload.runtime is not Runtime.CONTAINER:
        _add_volume(volumes, mounts, IN_VOLUME, IN_PATH, {"emptyDir": {}})
        _add_volume(volumes, mounts, OUT_VOLUME, OUT_PATH, {"emptyDir": {}})


def _recorded(recorded: RecordedAnswers | None) -> dict[str, Any]:
    selector = recorded.config_map_key_ref if recorded is not None else None
    if selector is None:
        raise BuildError(
            NodeReason.NO_RECORDED_ANSWER,
            "the run names no recorded answers: set spec.recordedAnswers.configMapKeyRef",
        )
    return {
        "configMap": {
            "name": selector.name,
            "items": [{"key": selector.key, "path": "answers"}],
        }
    }


def from_annotation(path: str, annotation: str) -> dict[str, Any]:
    """Return the file of a downward API volume that holds an annotation as it is."""
    return {"path": path, "fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}


def _add_volume(
    volumes: list[dict[str, Any]],
    mounts: list[dict[str, Any]],
    name: str,
    path: str,
    source: Mapping[str, Any],
) -> None:
    if any(volume["name"] == name for volume in volumes):
        raise BuildError(
            NodeReason.CONFIG, f"pod.volumes: {name} is reserved for Podium: choose another name"
        )
    volumes.append({"name": name, **source})
    mounts.append({"name": name, "mountPath": path, "readOnly": path in (GIVEN, RECORDED)})
