"""Volumes of a Pod with artifacts, and how its containers mount them."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from podium.api.names import GROUP
from podium.api.reasons import NodeReason
from podium.api.workflow import Node
from podium.artifacts.file_values import VALUES_PATH
from podium.artifacts.pod import INPUT_NAME, TASK_PATH
from podium.cluster.jobs.errors import BuildError
from podium.cluster.jobs.output_values import collected_files
from podium.cluster.jobs.outside import secret_volumes

__all__ = ["ANNOTATION_ARTIFACTS", "ANNOTATION_INPUT", "FOUND_VOLUME", "Volumes", "mount"]

ANNOTATION_ARTIFACTS = f"{GROUP}/artifacts"
ANNOTATION_INPUT = f"{GROUP}/input"
TASK_VOLUME, FOUND_VOLUME, VALUES_VOLUME = "podium-task", "podium-found", "podium-values"
VALUES_LIMIT = "64Mi"


class Volumes:
    """Volumes of a Pod, and what its program mounts of them."""

    def __init__(
        self, spec: dict[str, Any], container: dict[str, Any], scratch: Mapping[str, Any]
    ) -> None:
        self._volumes: list[dict[str, Any]] = spec.setdefault("volumes", [])
        self._mounts: list[dict[str, Any]] = container.setdefault("volumeMounts", [])
        self._scratch = scratch

    def task(self) -> list[dict[str, Any]]:
        """Return the mounts of a container that is told of its task."""
        field_path = {"fieldPath": f"metadata.annotations['{ANNOTATION_ARTIFACTS}']"}
        path = PurePosixPath(TASK_PATH)
        source = {"downwardAPI": {"items": [{"path": path.name, "fieldRef": field_path}]}}
        if not any(volume["name"] == TASK_VOLUME for volume in self._volumes):
            self.volume(TASK_VOLUME, source)
        return [mount(TASK_VOLUME, str(path.parent))]

    def add_input(self) -> None:
        """Let what is told of the task hold the input as well."""
        field_path = {"fieldPath": f"metadata.annotations['{ANNOTATION_INPUT}']"}
        volume = next(each for each in self._volumes if each["name"] == TASK_VOLUME)
        volume["downwardAPI"]["items"].append({"path": INPUT_NAME, "fieldRef": field_path})

    def shared(self, name: str, path: str, *, read_only: bool = False) -> dict[str, Any]:
        """Add the directory of a file that the program, or the other container, only reads."""
        directory = str(PurePosixPath(path).parent)
        self.scratch(name, directory, read_only=read_only)
        return mount(name, directory, read_only=not read_only)

    def volume(self, name: str, source: Mapping[str, Any]) -> None:
        """Add a volume."""
        if any(volume["name"] == name for volume in self._volumes):
            message = f"pod.volumes: {name} is reserved for Podium: choose another name"
            raise BuildError(NodeReason.CONFIG, message)
        self._volumes.append({"name": name, **source})

    def secrets(self, node: Node, container: str) -> list[dict[str, Any]]:
        """Add the Secrets of one container; return its mounts of them."""
        mounts = []
        for name, source, path in secret_volumes(node, container):
            self.volume(name, source)
            mounts.append(mount(name, path))
        return mounts

    def values(self, node: Node) -> list[dict[str, Any]]:
        """Add the files for values of the output; return the collector's mounts of them."""
        files = collected_files(node)
        if not files:
            return []
        self.volume(VALUES_VOLUME, {"emptyDir": {"sizeLimit": VALUES_LIMIT}})
        for number, (name, path) in enumerate(files.items()):
            if any(each["mountPath"].rstrip("/") == path for each in self._mounts):
                message = (
                    f"outputs.{name}: {path} is mounted by pod.volumeMounts already: choose another"
                    " path for this value"
                )
                raise BuildError(NodeReason.CONFIG, message)
            made = mount(VALUES_VOLUME, path, read_only=False)
            self._mounts.append(made | {"subPath": str(number)})
        return [mount(VALUES_VOLUME, VALUES_PATH, read_only=False)]

    def scratch(self, name: str, path: str, *, read_only: bool = False) -> bool:
        """Add an empty directory that the program mounts; return whether it is new."""
        for each in self._mounts:
            if (each["name"], each["mountPath"]) == (name, path):  # every script has it
                each["readOnly"] = read_only
                volume = next(other for other in self._volumes if other["name"] == name)
                volume |= self._scratch
                return False
            if each["mountPath"].rstrip("/") == path:
                message = (
                    f"artifacts.out: {path} is mounted by pod.volumeMounts already: choose another"
                    " path for this artifact"
                )
                raise BuildError(NodeReason.CONFIG, message)
        self.volume(name, self._scratch)
        self._mounts.append(mount(name, path, read_only=read_only))
        return True

    def found(self, node: Node, names: set[str]) -> None:
        """Mount what the program finds at absolute paths."""
        for artifact in (node.artifacts.in_ if node.artifacts is not None else None) or ():
            path = artifact.path or ""
            if path.startswith("/") and artifact.name in names:
                made = mount(FOUND_VOLUME, path)
                self._mounts.append(made | {"subPath": artifact.name})


def mount(name: str, path: str, *, read_only: bool = True) -> dict[str, Any]:
    """Return how a container mounts a volume."""
    return {"name": name, "mountPath": path, "readOnly": read_only}
