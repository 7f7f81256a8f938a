"""A real S3 server for the artifacts of Pods: on this machine, at an address that they reach."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client

from tests.cluster import kwok
from tests.unit.artifacts.s3 import KEYS, S3Server

SECRET = "artifact-store"
BUCKET = "artifacts"


@contextmanager
def server_for(api: client.ApiClient) -> Iterator[S3Server]:
    """Run a server with one bucket."""
    directory = Path(tempfile.mkdtemp(prefix="podium-bucket-"))
    server = S3Server(directory / "s3", address=address_for(api))
    try:
        server.bucket(BUCKET)
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def bucket_for(api: client.ApiClient, namespace: str) -> Iterator[dict[str, Any]]:
    """Give a namespace a bucket; what is yielded is the setting `artifacts` of an operator."""
    with server_for(api) as server:
        make_secret(api, namespace)
        yield settings_of(server)


def make_secret(
    api: client.ApiClient, namespace: str, secret: str = KEYS.secret_access_key
) -> None:
    """Make the Secret with the credentials."""
    data = {"accessKeyId": KEYS.access_key_id, "secretAccessKey": secret}
    body = {"metadata": {"name": SECRET}, "stringData": data}
    client.CoreV1Api(api).create_namespaced_secret(namespace, body)


def settings_of(server: S3Server, **more: Any) -> dict[str, Any]:
    """Return the operator's setting for a server."""
    bucket = {"bucket": BUCKET, "endpoint": server.endpoint, "credentialsSecret": SECRET}
    return {"s3": bucket, **more}


def address_for(api: client.ApiClient) -> str:
    """Return the address of this machine that is on the way to a machine with a kubelet."""
    core = client.CoreV1Api(api)
    addresses = kwok.real_machine(core).status.addresses
    there = next(each.address for each in addresses if each.type == "InternalIP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect((there, 9))
        found: str = asked.getsockname()[0]
        return found
