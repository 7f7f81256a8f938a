"""Objects of any bucket: files at URLs that are signed here, so that the rules of URLs hold."""

from collections.abc import Callable, Mapping
from typing import IO, Literal

from podium.api.sources import Addressing, HttpSource, S3Object
from podium.artifacts.backend import Backend
from podium.artifacts.errors import ArtifactError
from podium.artifacts.http_source import MAX_BYTES, MAX_SECONDS, fetch_file
from podium.artifacts.reach import Reach
from podium.artifacts.settings import S3Settings, StaticKeys

__all__ = ["fetch_object", "url_of"]


def fetch_object(
    source: S3Object,
    file: IO[bytes],
    secret: Mapping[str, str],
    is_stopped: Callable[[], bool],
    reach: Reach,
    *,
    most: int = MAX_BYTES,
) -> None:
    """Write an object of a bucket into a file. `secret` is what its secretRef names.

    Raises `ArtifactError`, `OSError` of the file, `InterruptedError` once it is stopped.
    """
    fetch_file(
        HttpSource(url=url_of(source, secret, "GET")), file, {}, is_stopped, reach, most=most
    )


def url_of(place: S3Object, secret: Mapping[str, str], method: Literal["GET", "PUT"]) -> str:
    """Return the URL of an object, signed for one method. Raises `ArtifactError`."""
    keys = _keys(place, secret)
    settings = S3Settings(
        place.bucket,
        keys or StaticKeys("nobody", "nothing"),
        region=place.region,
        endpoint=place.endpoint or "",
        is_virtual_hosted=place.addressing is Addressing.VIRTUAL,
    )
    url = Backend(settings).signed(place.key, method, MAX_SECONDS)
    return url if keys is not None else url.partition("?")[0]


def _keys(place: S3Object, secret: Mapping[str, str]) -> StaticKeys | None:
    if place.secret_ref is None:
        return None
    identity, key, token = (
        secret.get(name, "").strip() for name in ("accessKeyId", "secretAccessKey", "sessionToken")
    )
    if not identity or not key:
        message = "its Secret needs the keys accessKeyId and secretAccessKey"
        raise ArtifactError(message, is_retryable=False)
    return StaticKeys(identity, key, token)
