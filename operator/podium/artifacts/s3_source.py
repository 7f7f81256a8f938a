"""Objects of any bucket: whole, bounded while they are read, without a credential in a message."""

from collections.abc import Callable, Mapping
from typing import IO
from urllib.parse import urlsplit

from podium.api.sources import Addressing, S3Object
from podium.artifacts.addresses import resolved
from podium.artifacts.backend import Backend
from podium.artifacts.errors import ArtifactError
from podium.artifacts.http_source import MAX_BYTES
from podium.artifacts.settings import Anonymous, S3Settings, StaticKeys

__all__ = ["fetch_object", "settings_of"]

RETRY_SECONDS = 60.0


def fetch_object(
    source: S3Object,
    file: IO[bytes],
    secret: Mapping[str, str],
    is_stopped: Callable[[], bool],
    *,
    allow_loopback: bool,
    most: int = MAX_BYTES,
) -> None:
    """Write an object of a bucket into a file. `secret` is what its secretRef names.

    Raises `ArtifactError`, `OSError` of the file, `InterruptedError` once it is stopped.
    """
    settings = settings_of(source, secret, allow_loopback=allow_loopback)
    size = 0
    for chunk in Backend(settings).stream(source.key):
        if is_stopped():
            raise InterruptedError("stopped")
        size += len(chunk)
        if size > most:
            message = f"{source.key} has more than {most:,} bytes, the limit"
            raise ArtifactError(message, is_retryable=False)
        file.write(chunk)


def settings_of(place: S3Object, secret: Mapping[str, str], *, allow_loopback: bool) -> S3Settings:
    """Return how to speak to the server of a bucket. Raises `ArtifactError`."""
    if place.endpoint:
        url = urlsplit(place.endpoint)
        port = url.port or (443 if url.scheme == "https" else 80)
        resolved(url.hostname or "", port, allow_loopback=allow_loopback)
    return S3Settings(
        place.bucket,
        _credentials(place, secret),
        region=place.region,
        endpoint=place.endpoint or "",
        is_virtual_hosted=place.addressing is Addressing.VIRTUAL,
        retry_seconds=RETRY_SECONDS,
    )


def _credentials(source: S3Object, secret: Mapping[str, str]) -> Anonymous | StaticKeys:
    if source.secret_ref is None:
        return Anonymous()
    identity, key = secret.get("accessKeyId", ""), secret.get("secretAccessKey", "")
    if not identity.strip() or not key.strip():
        message = "its Secret needs the keys accessKeyId and secretAccessKey"
        raise ArtifactError(message, is_retryable=False)
    return StaticKeys(identity.strip(), key.strip(), secret.get("sessionToken", "").strip())
