"""The artifact store of a run on a cluster, by way of a Pod that mounts it while a verb runs.

The Pod is made with the rights of the user, in the namespace of the run, of Podium's own image and
the store's volume; objects come as what programs in it print.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from podium.api.artifact_stores import ArtifactLocation
from podium.artifacts.backend import Backend, ObjectState
from podium.artifacts.errors import ArtifactError
from podium.artifacts.pod import STORE_PATH
from podium.artifacts.remote import COMMAND, MISSING, MOST_BYTES
from podium.artifacts.settings import DirectorySettings, S3Settings, StoreSettings, WebIdentity
from podium.artifacts.store import ArtifactStore
from podium.cli.cluster.connection import Cluster
from podium.cli.cluster.runs import ClusterRun
from podium.cli.output import CliError
from podium.cluster.artifact_settings import ArtifactSettings
from podium.cluster.jobs.artifact_store import STORE_VOLUME, store_variables, store_volume
from podium.cluster.jobs.pod_security import USER_FIELDS
from podium.cluster.jobs.rules import USER
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.exec import ProgramEnd, run_program
from podium.cluster.kube.views import dig, items, text

__all__ = ["build_reader", "opened", "opened_at"]

POD_SECONDS = 3600
"""After so long the Pod ends by itself, should the verb have been killed."""
START_SECONDS = 180
AT_A_TIME = 200
"""Objects that are removed by one command."""


class RemoteBackend(Backend):
    """Objects of the store that a Pod mounts, for other threads than that of the requests.

    Methods raise `ArtifactError`.
    """

    def __init__(self, cluster: Cluster, pod: str, loop: asyncio.AbstractEventLoop) -> None:
        self._cluster, self._pod, self._loop = cluster, pod, loop

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
        asked = self._run(action, *keys)
        try:
            done = asyncio.run_coroutine_threadsafe(asked, self._loop).result()
        except ApiError as error:
            raise ArtifactError(f"cannot {action} {keys[0]}: {_words_of(error)}") from None
        if done.exit_code == 0:
            return done.stdout
        words = " ".join(done.stderr.decode(errors="replace").split())
        raise ArtifactError(
            words[-500:] or f"cannot {action} {keys[0]}", is_missing=done.exit_code == MISSING
        )

    async def _run(self, *arguments: str) -> ProgramEnd:
        command = (*COMMAND, *arguments)
        where = (self._cluster.namespace, self._pod)
        return await run_program(self._cluster.client, *where, command, MOST_BYTES)


def _words_of(error: ApiError) -> str:
    if error.status in (401, 403):
        return f"you may not run programs in Pods here (create pods/exec): {error.message}"
    return error.message


def _states(printed: bytes) -> list[ObjectState]:
    return [ObjectState(*json.loads(line)) for line in printed.splitlines()]


@asynccontextmanager
async def opened(cluster: Cluster, run: ClusterRun) -> AsyncIterator[ArtifactStore | None]:
    """Open the store of a run as `opened_at` does; None: none of its nodes hands artifacts over."""
    found = dig(run.document, "status", "artifactStore")
    if found is None:
        yield None
        return
    async with opened_at(cluster, ArtifactLocation.model_validate(found)) as store:
        yield store


@asynccontextmanager
async def opened_at(cluster: Cluster, place: ArtifactLocation) -> AsyncIterator[ArtifactStore]:
    """Open a store, as a namespace has it; use it in other threads than that of the requests.

    Raises `CliError`, `ApiError`.
    """
    name = f"podium-artifacts-{secrets.token_hex(4)}"
    pod = await cluster.client.create_pod(build_reader(name, cluster.namespace, place))
    uid = text(dig(pod, "metadata", "uid"))
    try:
        await _ready(cluster, name, pod)
        backend = RemoteBackend(cluster, name, asyncio.get_running_loop())
        with ArtifactStore(_settings(place), backend=backend) as store:
            yield store
    finally:
        await cluster.client.delete_pod(cluster.namespace, name, uid, seconds=1)


async def _ready(cluster: Cluster, name: str, pod: Mapping[str, Any]) -> None:
    """Wait until programs can be run in a Pod. Raises `CliError`, `ApiError`."""
    version = text(dig(pod, "metadata", "resourceVersion"))
    where = ("pods", cluster.namespace, "", version, f"metadata.name={name}")
    try:
        async with asyncio.timeout(START_SECONDS):
            async for event in cluster.client.watch(*where):
                status = dig(event, "object", "status")
                for condition in items(dig(status, "conditions")):
                    if (condition.get("type"), condition.get("status")) == ("Ready", "True"):
                        return
                if event["type"] == "DELETED" or dig(status, "phase") in ("Failed", "Succeeded"):
                    break
        why = "ended before it was ready"
    except TimeoutError:
        why = f"is not ready after {START_SECONDS} s"
    said = await cluster.client.list_events(cluster.namespace, text(dig(pod, "metadata", "uid")))
    warnings = [text(each.get("message")) for each in said if each.get("type") == "Warning"]
    last = f": {warnings[-1]:.300}" if warnings else ""
    raise CliError(f"Pod {name}, which mounts the artifact store, {why}{last}")


def _settings(place: ArtifactLocation) -> StoreSettings:
    """Return how messages name the store."""
    if place.s3 is None:
        return DirectorySettings(Path(STORE_PATH))
    return S3Settings(place.s3.bucket, WebIdentity(), endpoint=place.s3.endpoint)


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
