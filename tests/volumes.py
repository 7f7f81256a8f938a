"""Volumes for claims, where a cluster has nothing that makes them: directories of this machine.

A real kubelet mounts them; what binds a claim is the cluster's own controller. Claims of
another StorageClass are left alone: the cluster makes volumes for them, or a test wants that none is.
"""

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client

from tests.cluster import kwok

EVERY_SECONDS = 0.5


@contextmanager
def volumes_for(api: client.ApiClient, namespace: str, storage_class: str = "") -> Iterator[Path]:
    """Give each claim of a namespace a volume, until the end; they lie in the directory given."""
    core = client.CoreV1Api(api)
    machine = kwok.real_machine(core).metadata.labels["kubernetes.io/hostname"]
    directory = Path(tempfile.mkdtemp(prefix="podium-volumes-"))
    directory.chmod(0o711)
    ended = threading.Event()
    made: set[str] = set()

    def provide() -> None:
        for claim in core.list_namespaced_persistent_volume_claim(namespace).items:
            if (claim.spec.storage_class_name or "") != storage_class or claim.metadata.uid in made:
                continue
            path = directory / claim.metadata.name
            path.mkdir(exist_ok=True)
            path.chmod(0o777)  # a kubelet sets no owner in a directory of its machine
            core.create_persistent_volume(_volume(claim, path, machine))
            made.add(claim.metadata.uid)

    def serve() -> None:
        while not ended.wait(EVERY_SECONDS):
            with contextlib.suppress(client.ApiException):
                provide()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield directory
    finally:
        ended.set()
        thread.join()
        for uid in made:
            with contextlib.suppress(client.ApiException):
                core.delete_persistent_volume(f"podium-test-{uid}")
        shutil.rmtree(directory, ignore_errors=True)


def _volume(claim: client.V1PersistentVolumeClaim, path: Path, machine: str) -> dict[str, Any]:
    there = {"key": "kubernetes.io/hostname", "operator": "In", "values": [machine]}
    return {
        "metadata": {"name": f"podium-test-{claim.metadata.uid}"},
        "spec": {
            "capacity": {"storage": claim.spec.resources.requests["storage"]},
            "accessModes": claim.spec.access_modes,
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": claim.spec.storage_class_name or "",
            "hostPath": {"path": str(path)},
            "claimRef": {
                "kind": "PersistentVolumeClaim",
                "apiVersion": "v1",
                "namespace": claim.metadata.namespace,
                "name": claim.metadata.name,
                "uid": claim.metadata.uid,
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [there]}]}},
        },
    }
