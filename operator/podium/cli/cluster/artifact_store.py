"""The artifact store of a run on a cluster, by way of a Pod that mounts it while a verb runs.

The Pod is made with the rights of the user, in the namespace of the run, of Podium's own image and
the store's volume; objects come through kubectl exec.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from podium.api.artifact_stores import ArtifactLocation
from podium.artifacts.backend import Backend, ObjectState
from podium.artifacts.errors import ArtifactError
from podium.artifacts.pod import STORE_PATH
from podium.artifacts.remote import COMMAND, MISSING
from podium.artifacts.settings import DirectorySettings, S3Settings, StoreSettings, WebIdentity
from podium.artifacts.store import ArtifactStore
from podium.cli.cluster.kubectl import Kubectl
from podium.cli.output import CliError
from podium.cluster.artifact_settings import ArtifactSettings
from podium.cluster.jobs.artifact_store import STORE_VOLUME, store_variables, store_volume
from podium.cluster.jobs.pod_template import USER_FIELDS
from podium.cluster.jobs.rules import USER

__all__ = ["build_reader", "node_states", "opened", "opened_at"]

POD_SECONDS = 3600
"""After so long the Pod ends by itself, should the verb have been killed."""
START_SECONDS = 180
AT_A_TIME = 200
"""Objects that are removed by one command."""


class RemoteBackend(Backend):
    """Objects of the store that a Pod mounts. Methods raise `ArtifactError`."""

    def __init__(self, kubectl: Kubectl, pod: str) -> None:
        self._kubectl, self._pod = kubectl, pod

    def read(self, key: str, limit: int) -> memoryview:
        """Read an object, which may not have more than `limit` bytes."""
        data = self._ask("read", key)
        if len(data) > limit:
            message = f"{key} has {len(data):,} bytes, and {limit:,} are expected"
            raise ArtifactError(message, is_retryable=False)
        return memoryview(data)

    def objects(self, prefix: str) -> Iterator[ObjectState]:
        """Return the objects whose keys begin with a directory's name."""
        yield from _states(self._ask("list", prefix))

    def delete(self, keys: list[str]) -> None:
        """Remove objects; one that is not there is gone already."""
        for start in range(0, len(keys), AT_A_TIME):
            self._ask("delete", *keys[start : start + AT_A_TIME])

    def _ask(self, action: str, *keys: str) -> bytes:
        done = self._kubectl.call("exec", self._pod, "--", *COMMAND, action, *keys)
        if done.returncode == 0:
            return done.stdout
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = [line for line in lines if not line.startswith("command terminated with exit code")]
        words = " ".join(said)[-500:] or f"cannot {action} {keys[0]}"
        raise ArtifactError(words, is_missing=done.returncode == MISSING)


def _states(printed: bytes) -> list[ObjectState]:
    return [ObjectState(*json.loads(line)) for line in printed.splitlines()]


@contextmanager
def opened(kubectl: Kubectl, run: dict[str, Any]) -> Iterator[ArtifactStore | None]:
    """Open the store of a run; None: none of its nodes hands artifacts over.

    Raises `CliError`.
    """
    found = run.get("status", {}).get("artifactStore")
    if found is None:
        yield None
        return
    namespace = run["metadata"]["namespace"]
    with opened_at(kubectl, namespace, ArtifactLocation.model_validate(found)) as store:
        yield store


@contextmanager
def opened_at(kubectl: Kubectl, namespace: str, place: ArtifactLocation) -> Iterator[ArtifactStore]:
    """Open a store, as a namespace has it. Raises `CliError`."""
    name = f"podium-artifacts-{secrets.token_hex(4)}"
    body = build_reader(name, namespace, place)
    kubectl("create", "-f", "-", stdin=json.dumps(body).encode())
    try:
        wait = f"--timeout={START_SECONDS}s"
        try:
            kubectl("wait", f"pod/{name}", "--for=condition=Ready", wait)
        except CliError as error:
            raise CliError(f"{error}{_why_not_ready(kubectl, name)}") from None
        with ArtifactStore(_settings(place), backend=RemoteBackend(kubectl, name)) as store:
            yield store
    finally:
        kubectl.call("delete", f"pod/{name}", "--grace-period=1", "--wait=false")


def node_states(kubectl: Kubectl, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the states of a run's nodes, as its status and its WorkflowRunNodes have them."""
    status = run.get("status", {})
    found: dict[str, dict[str, Any]] = {}
    for shard in status.get("shards", ()):
        found.update(kubectl.get("workflowrunnodes.podium.dev", shard["name"])["nodes"])
    found.update(status.get("nodes", {}))
    return found


def _settings(place: ArtifactLocation) -> StoreSettings:
    """Return how messages name the store."""
    if place.s3 is None:
        return DirectorySettings(Path(STORE_PATH))
    return S3Settings(place.s3.bucket, WebIdentity(), endpoint=place.s3.endpoint)


def _why_not_ready(kubectl: Kubectl, pod: str) -> str:
    """Return what the cluster says of a Pod that has not started; empty: nothing."""
    shown = kubectl.call("events", "--for", f"pod/{pod}", "--types", "Warning", "-o", "json")
    if shown.returncode != 0:
        return ""
    messages = [str(each.get("message", "")) for each in json.loads(shown.stdout).get("items", ())]
    return f": {messages[-1][:300]}" if messages else ""


def build_reader(name: str, namespace: str, place: ArtifactLocation) -> dict[str, Any]:
    """Build the Pod: as restricted as that of a node, with the store and nothing else."""
    artifacts = ArtifactSettings(token_audience=place.token_audience).of(place)
    env = store_variables(namespace, artifacts)
    container = {
        "name": "artifacts",
        "image": place.image,
        "command": ["python3", "-P", "-c", f"import time; time.sleep({POD_SECONDS})"],
        "env": [{"name": key, "value": value.replace("$", "$$")} for key, value in env.items()],
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"cpu": "1", "memory": "256Mi"},
        },
        "volumeMounts": [{"name": STORE_VOLUME, "mountPath": STORE_PATH}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": "podium", "app.kubernetes.io/component": "reader"},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": POD_SECONDS,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                **({} if place.any_user else dict.fromkeys(USER_FIELDS, USER)),
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": STORE_VOLUME, **store_volume(artifacts)}],
        },
    }
