"""How the containers that carry artifacts reach the store: their volume, and what they are told."""

import json
from typing import Any

from podium.api.sources import Addressing
from podium.artifacts.pod import STORE_PATH, STORE_VARIABLE
from podium.cluster.artifact_settings import ArtifactSettings

__all__ = ["STORE_VOLUME", "store_told", "store_variables", "store_volume"]

STORE_VOLUME = "podium-store"
TOKEN_SECONDS = 3600


def store_volume(artifacts: ArtifactSettings) -> dict[str, Any]:
    """Return what the store's volume is made of: credentials, or the store itself."""
    if artifacts.claim:
        return {"persistentVolumeClaim": {"claimName": artifacts.claim}}
    if artifacts.role:
        token = {
            "audience": artifacts.token_audience,
            "expirationSeconds": TOKEN_SECONDS,
            "path": "token",
        }
        return {"projected": {"sources": [{"serviceAccountToken": token}]}}
    return {"secret": {"secretName": artifacts.secret, "defaultMode": 0o440}}


def store_variables(namespace: str, artifacts: ArtifactSettings) -> dict[str, str]:
    """Return the variables of a container that mounts the store."""
    env = {STORE_VARIABLE: store_told(namespace, artifacts)}
    if artifacts.role:
        env["AWS_ROLE_ARN"] = artifacts.role
        env["AWS_WEB_IDENTITY_TOKEN_FILE"] = f"{STORE_PATH}/token"
        if artifacts.sts_endpoint:
            env["AWS_ENDPOINT_URL_STS"] = artifacts.sts_endpoint
    return env


def store_told(namespace: str, artifacts: ArtifactSettings) -> str:
    """Return what a container is told of the store; credentials are not in it."""
    bucket = artifacts.s3
    if bucket is None:
        return "{}"
    prefix = bucket.prefix.strip("/")
    told = {
        "bucket": bucket.bucket,
        # Credentials of a namespace can be limited to it.
        "prefix": f"{prefix}/{namespace}".strip("/"),
        "region": bucket.region,
        "endpoint": bucket.endpoint,
        "is_virtual_hosted": bucket.addressing is Addressing.VIRTUAL,
        "certificate_authority": bucket.ca_bundle,
        "encryption": bucket.encryption,
        "kms_key_id": bucket.kms_key_id,
        "webIdentity": bool(bucket.role_arn),
        **({"ofNamespace": True} if artifacts.is_of_namespace else {}),
    }
    return json.dumps(told)
