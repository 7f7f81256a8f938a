"""Files at URLs: whole or not at all, from addresses that are allowed, bounded while they are read.

A connection that breaks is made again, and goes on where it ended if the server knows ranges and
says that the file is still the same.
"""

import base64
import hashlib
import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from podium.api.sources import HttpSource
from podium.artifacts.addresses import resolved
from podium.artifacts.errors import ArtifactError

__all__ = ["MAX_BYTES", "fetch_file"]

MAX_BYTES = 100 << 30
"""Of one file."""
CONNECT_SECONDS = 10.0
READ_SECONDS = 15.0
"""A server that sends nothing for so long is asked again."""
PATIENCE_SECONDS = 60.0
"""After so long without a byte more it is given up."""
MAX_SECONDS = 3600.0
"""For one file, however slowly it comes."""
BACKOFF_SECONDS = (0.2, 5.0)
MAX_REDIRECTS = 5
_CHUNK = 1 << 18
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))


class _AgainError(Exception):
    """It did not come, and may come if it is asked for again; the message says why it did not."""


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


class _Bounds(NamedTuple):
    """How far a file is fetched."""

    is_stopped: Callable[[], bool]
    allow_loopback: bool
    most: int
    end: float
    """When (monotonic) it is given up."""

    def require(self) -> None:
        """Raise `InterruptedError` once it is stopped, `ArtifactError` when it takes too long."""
        if self.is_stopped():
            raise InterruptedError("stopped")
        if time.monotonic() > self.end:
            raise ArtifactError(f"takes longer than {MAX_SECONDS:.0f} seconds")

    def pause(self, seconds: float) -> None:
        """Wait."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.require()
            time.sleep(min(left, 0.1))


class _Target(NamedTuple):
    """What is asked for, perhaps after redirects."""

    url: SplitResult
    headers: Mapping[str, str]

    @property
    def port(self) -> int:
        return self.url.port or (443 if self.url.scheme == "https" else 80)

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.url.scheme, (self.url.hostname or "").lower(), self.port


def fetch_file(
    source: HttpSource,
    file: IO[bytes],
    secret: Mapping[str, str],
    is_stopped: Callable[[], bool],
    *,
    allow_loopback: bool,
    most: int = MAX_BYTES,
) -> None:
    """Write what is at a URL into a file. `secret` is what its secretRef names.

    Raises `ArtifactError`, `OSError` of the file, `InterruptedError` once it is stopped.
    """
    received = _Received(file)
    target = _Target(urlsplit(source.url), {**source.headers, **_authorization(secret)})
    bounds = _Bounds(is_stopped, allow_loopback, most, time.monotonic() + MAX_SECONDS)
    try:
        _repeat(target, received, bounds)
        found = received.digest.hexdigest()
        if source.sha256 is not None and found != source.sha256:
            message = f"has the SHA-256 {found}, and sha256 says {source.sha256}"
            raise ArtifactError(message, is_retryable=False)
    except ArtifactError as error:
        message = f"{_shown(target.url)}: {error}"
        raise ArtifactError(message, is_retryable=error.is_retryable) from None


def _repeat(target: _Target, received: _Received, bounds: _Bounds) -> None:
    """Ask until all of it is there."""
    progress = time.monotonic()
    wait, longest = BACKOFF_SECONDS
    while True:
        before = received.size
        try:
            _ask(target, received, bounds)
        except _AgainError as error:
            now = time.monotonic()
            if received.size > before:
                progress, wait = now, BACKOFF_SECONDS[0]
            if now - progress > PATIENCE_SECONDS:
                raise ArtifactError(f"{error}, and was tried again in vain") from None
            bounds.pause(wait)
            wait = min(2 * wait, longest)
        else:
            return


def _ask(target: _Target, received: _Received, bounds: _Bounds) -> None:
    for _ in range(MAX_REDIRECTS + 1):
        bounds.require()
        headers = dict(target.headers)
        if received.size and received.validator:
            headers |= {"Range": f"bytes={received.size}-", "If-Range": received.validator}
        connection = _connected(target, allow_loopback=bounds.allow_loopback)
        try:
            response = _answer(connection, target, headers)
            if response.status not in _REDIRECTS:
                _take(response, received, bounds)
                return
            target = _redirected(target, response.getheader("Location"))
        finally:
            connection.close()
    raise ArtifactError(f"redirects more than {MAX_REDIRECTS} times", is_retryable=False)


def _connected(target: _Target, *, allow_loopback: bool) -> "_Connection":
    problem = ""
    host = target.url.hostname or ""
    for address in resolved(host, target.port, allow_loopback=allow_loopback):
        connection = _Connection(target, address)
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            connection.close()
            message = f"its certificate is not trusted: {error.verify_message}"
            raise ArtifactError(message, is_retryable=False) from None
        except OSError as error:
            connection.close()
            problem = error.strerror or str(error)
        else:
            return connection
    raise _AgainError(f"does not answer ({problem})")


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was looked at; the host's name is checked by TLS."""

    def __init__(self, target: _Target, address: str) -> None:
        super().__init__(target.url.hostname or "", target.port, timeout=CONNECT_SECONDS)
        self._address = address
        self._is_tls = target.url.scheme == "https"
        self.default_port = 443 if self._is_tls else 80

    def connect(self) -> None:
        """Connect."""
        connected = socket.create_connection((self._address, self.port), CONNECT_SECONDS)
        self.sock = connected
        if self._is_tls:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(connected, server_hostname=self.host)
        self.sock.settimeout(READ_SECONDS)


def _answer(
    connection: _Connection, target: _Target, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    path = target.url.path or "/"
    path += f"?{target.url.query}" if target.url.query else ""
    # What is compressed on the way has another length, and no ranges.
    always = {"Accept-Encoding": "identity", "User-Agent": "podium", "Connection": "close"}
    try:
        connection.request("GET", path, headers={**always, **headers})
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise _AgainError(f"does not answer ({_words(error)})") from None


def _redirected(target: _Target, location: str | None) -> _Target:
    if not location or not location.isascii() or not location.isprintable() or " " in location:
        raise ArtifactError("redirects to nowhere", is_retryable=False)
    try:
        url = urlsplit(urljoin(target.url.geturl(), location))._replace(fragment="")
        new = _Target(url, target.headers)
        origin = new.origin
    except ValueError:
        raise ArtifactError("redirects to what is not a URL", is_retryable=False) from None
    if url.scheme not in ("https", "http") or not url.hostname or "@" in url.netloc:
        raise ArtifactError("redirects to what is not https", is_retryable=False)
    if target.url.scheme == "https" and url.scheme != "https":
        raise ArtifactError(f"redirects from https to {_shown(url)}", is_retryable=False)
    # Credentials, and headers that may hold some, are for the host that they were given for.
    return new if origin == target.origin else _Target(url, {})


def _take(response: http.client.HTTPResponse, received: _Received, bounds: _Bounds) -> None:
    status = response.status
    if status in _AGAIN:
        raise _AgainError(f"answers {status} {response.reason:.80}")
    if status == 416 and received.size:  # it has become shorter
        received.restart()
        raise _AgainError("has changed meanwhile")
    goes_on = status == 206 and (response.getheader("Content-Range") or "").startswith(
        f"bytes {received.size}-"
    )
    if status != 200 and not goes_on:
        hint = ": check the credentials" if status in (401, 403) else ""
        message = f"answers {status} {response.reason:.80}{hint}"
        raise ArtifactError(message, is_retryable=False)
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
        raise _AgainError(f"broke off after {received.size:,} bytes")


def _next(response: http.client.HTTPResponse, size: int) -> bytes:
    try:
        return response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _AgainError(f"broke off after {size:,} bytes ({_words(error)})") from None


def _validator(response: http.client.HTTPResponse) -> str:
    tag = response.getheader("ETag") or ""
    return tag if tag.startswith('"') else ""  # a weak one allows other bytes


def _words(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{text:.200}"


def _authorization(secret: Mapping[str, str]) -> dict[str, str]:
    if not secret:
        return {}
    if "token" in secret:
        return {"Authorization": f"Bearer {secret['token'].strip()}"}
    return {"Authorization": basic(secret)}


def basic(secret: Mapping[str, str]) -> str:
    """Return the value of a header with a user's name and password. Raises `ArtifactError`."""
    if "username" not in secret and "password" not in secret:
        raise ArtifactError(
            "its Secret has neither token nor username and password", is_retryable=False
        )
    pair = f"{secret.get('username', '').strip()}:{secret.get('password', '').strip()}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _shown(url: SplitResult) -> str:
    """Return a URL without its query, which may hold a signature."""
    return f"{url.scheme}://{url.netloc}{url.path}"
