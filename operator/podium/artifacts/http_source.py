"""Files at URLs: whole or not at all, from addresses that are allowed, bounded while they are read.

A connection that breaks is made again, and goes on where it ended if the server knows ranges and
says that the file is still the same.
"""

import hashlib
import http.client
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from podium.api.sources import HttpSource
from podium.artifacts.errors import ArtifactError
from podium.artifacts.http_connection import (
    AGAIN,
    AgainError,
    Bounds,
    Connection,
    Target,
    authorization,
    connected,
    path_of,
    refusal,
    shown,
    words_of,
)
from podium.artifacts.reach import Reach

__all__ = ["MAX_BYTES", "fetch_file"]

MAX_BYTES = 100 << 30
"""Of one file."""
PATIENCE_SECONDS = 60.0
"""After so long without a byte more it is given up."""
MAX_SECONDS = 3600.0
"""For one file, however slowly it comes."""
BACKOFF_SECONDS = (0.2, 5.0)
MAX_REDIRECTS = 5
_CHUNK = 1 << 18
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


@dataclass(slots=True)
class _Received:
    """What came of a file so far."""

    file: IO[bytes]
    size: int = 0
    validator: str = ""
    """What the server calls this version of it; empty: it cannot be told from another."""
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, data: bytes, most: int) -> None:
        """Keep what came. Raises `ArtifactError` once it is too much."""
        self.size += len(data)
        if self.size > most:
            message = f"has more than {most:,} bytes, the limit"
            raise ArtifactError(message, is_retryable=False)
        self.digest.update(data)
        self.file.write(data)

    def restart(self) -> None:
        """Begin at the beginning."""
        self.file.seek(0)
        self.file.truncate()
        self.size, self.validator, self.digest = 0, "", hashlib.sha256()


def fetch_file(
    source: HttpSource,
    file: IO[bytes],
    secret: Mapping[str, str],
    is_stopped: Callable[[], bool],
    reach: Reach,
    *,
    most: int = MAX_BYTES,
) -> None:
    """Write what is at a URL into a file. `secret` is what its secretRef names.

    Raises `ArtifactError`, `OSError` of the file, `InterruptedError` once it is stopped.
    """
    received = _Received(file)
    target = Target(urlsplit(source.url), {**source.headers, **authorization(secret)})
    bounds = Bounds(is_stopped, reach, most, MAX_SECONDS, time.monotonic() + MAX_SECONDS)
    try:
        _repeat(target, received, bounds)
        found = received.digest.hexdigest()
        if source.sha256 is not None and found != source.sha256:
            message = f"has the SHA-256 {found}, and sha256 says {source.sha256}"
            raise ArtifactError(message, is_retryable=False)
    except ArtifactError as error:
        message = f"{shown(target.url)}: {error}"
        raise ArtifactError(message, is_retryable=error.is_retryable) from None


def _repeat(target: Target, received: _Received, bounds: Bounds) -> None:
    """Ask until all of it is there."""
    progress = time.monotonic()
    wait, longest = BACKOFF_SECONDS
    while True:
        before = received.size
        try:
            _ask(target, received, bounds)
        except AgainError as error:
            now = time.monotonic()
            if received.size > before:
                progress, wait = now, BACKOFF_SECONDS[0]
            if now - progress > PATIENCE_SECONDS:
                raise ArtifactError(f"{error}, and was tried again in vain") from None
            bounds.pause(wait)
            wait = min(2 * wait, longest)
        else:
            return


def _ask(target: Target, received: _Received, bounds: Bounds) -> None:
    for _ in range(MAX_REDIRECTS + 1):
        bounds.require()
        headers = dict(target.headers)
        if received.size and received.validator:
            headers |= {"Range": f"bytes={received.size}-", "If-Range": received.validator}
        connection = connected(target, bounds.reach)
        try:
            response = _answer(connection, target, headers)
            if response.status not in _REDIRECTS:
                _take(response, received, bounds)
                return
            target = _redirected(target, response.getheader("Location"))
        finally:
            connection.close()
    raise ArtifactError(f"redirects more than {MAX_REDIRECTS} times", is_retryable=False)


def _answer(
    connection: Connection, target: Target, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    # What is compressed on the way has another length, and no ranges.
    always = {"Accept-Encoding": "identity", "User-Agent": "podium", "Connection": "close"}
    try:
        connection.request("GET", path_of(target.url), headers={**always, **headers})
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise AgainError(f"does not answer ({words_of(error)})") from None


def _redirected(target: Target, location: str | None) -> Target:
    if not location or not location.isascii() or not location.isprintable() or " " in location:
        raise ArtifactError("redirects to nowhere", is_retryable=False)
    try:
        url = urlsplit(urljoin(target.url.geturl(), location))._replace(fragment="")
        new = Target(url, target.headers)
        origin = new.origin
    except ValueError:
        raise ArtifactError("redirects to what is not a URL", is_retryable=False) from None
    if url.scheme not in ("https", "http") or not url.hostname or "@" in url.netloc:
        raise ArtifactError("redirects to what is not https", is_retryable=False)
    if target.url.scheme == "https" and url.scheme != "https":
        raise ArtifactError(f"redirects from https to {shown(url)}", is_retryable=False)
    # Credentials, and headers that may hold some, are for the host that they were given for.
    return new if origin == target.origin else Target(url, {})


def _take(response: http.client.HTTPResponse, received: _Received, bounds: Bounds) -> None:
    status = response.status
    if status in AGAIN:
        raise AgainError(f"answers {status} {response.reason:.80}")
    if status == 416 and received.size:  # it has become shorter
        received.restart()
        raise AgainError("has changed meanwhile")
    goes_on = status == 206 and (response.getheader("Content-Range") or "").startswith(
        f"bytes {received.size}-"
    )
    if status != 200 and not goes_on:
        raise refusal(response)
    if not goes_on:
        received.restart()
        received.validator = _validator(response)
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise ArtifactError("is sent compressed although it must not be", is_retryable=False)
    begin, length = received.size, response.length
    while data := _next(response, received.size):
        received.add(data, bounds.most)
        bounds.require()
    if length is not None and received.size - begin < length:
        raise AgainError(f"broke off after {received.size:,} bytes")


def _next(response: http.client.HTTPResponse, size: int) -> bytes:
    try:
        return response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise AgainError(f"broke off after {size:,} bytes ({words_of(error)})") from None


def _validator(response: http.client.HTTPResponse) -> str:
    tag = response.getheader("ETag") or ""
    return tag if tag.startswith('"') else ""  # a weak one allows other bytes
