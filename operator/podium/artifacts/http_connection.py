"""Connections to the hosts of users' URLs: to addresses that were looked at, and no others."""

import base64
import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import SplitResult

from podium.artifacts.addresses import resolved
from podium.artifacts.errors import ArtifactError, remedy_in
from podium.artifacts.reach import Reach
from podium.errors import PodiumError

__all__ = [
    "AGAIN",
    "CONNECT_SECONDS",
    "AgainError",
    "Bounds",
    "Connection",
    "Target",
    "authorization",
    "basic",
    "connected",
    "path_of",
    "refusal",
    "shown",
    "words_of",
]

CONNECT_SECONDS = 10.0
READ_SECONDS = 15.0
"""A server that sends nothing for so long is asked again."""
AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
"""Answers after which another try may have another one."""


class AgainError(PodiumError):
    """It did not come, and may come if it is asked for again; the message says why it did not."""


class Bounds(NamedTuple):
    """How far a file is sent on its way."""

    is_stopped: Callable[[], bool]
    reach: Reach
    most: int
    seconds: float
    end: float
    """When (monotonic) it is given up: after so many seconds."""

    def require(self) -> None:
        """Raise `InterruptedError` once it is stopped, `ArtifactError` when it takes too long."""
        if self.is_stopped():
            raise InterruptedError("stopped")
        if time.monotonic() > self.end:
            raise ArtifactError(f"takes longer than {self.seconds:.0f} seconds")

    def pause(self, seconds: float) -> None:
        """Wait."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.require()
            time.sleep(min(left, 0.1))


class Target(NamedTuple):
    """What is asked for, perhaps after redirects."""

    url: SplitResult
    headers: Mapping[str, str]

    @property
    def port(self) -> int:
        """The port, also where the URL names none."""
        return self.url.port or (443 if self.url.scheme == "https" else 80)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: for whom credentials are."""
        return self.url.scheme, (self.url.hostname or "").lower(), self.port


def connected(target: Target, reach: Reach) -> "Connection":
    """Connect to a host. Raises `ArtifactError`, `AgainError`."""
    problem = ""
    host = target.url.hostname or ""
    for address in resolved(host, target.port, reach):
        connection = Connection(target, address)
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
    raise AgainError(f"does not answer ({problem})")


class Connection(http.client.HTTPConnection):
    """A connection to an address that was looked at; the host's name is checked by TLS."""

    def __init__(self, target: Target, address: str) -> None:
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


def path_of(url: SplitResult) -> str:
    """Return what a request asks a host for."""
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def refusal(response: http.client.HTTPResponse) -> ArtifactError:
    """Describe an answer that another try does not change."""
    try:
        body = response.read(1 << 16).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        body = ""
    hint = remedy_in(body)  # of a bucket
    if not hint and response.status in (401, 403):
        hint = "check the credentials"
    answer = f"answers {response.status} {response.reason:.80}"
    return ArtifactError(f"{answer}: {hint}" if hint else answer, is_retryable=False)


def words_of(error: BaseException) -> str:
    """Return what an error of a connection says."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{text:.200}"


def authorization(secret: Mapping[str, str]) -> dict[str, str]:
    """Return the header with what a Secret holds; none for no Secret. Raises `ArtifactError`."""
    if not secret:
        return {}
    if "token" in secret:
        token = secret["token"].strip()
        if not token or not token.isascii() or not token.isprintable():
            # What a library says of such a header quotes it.
            message = "the token in its Secret is empty, or not printable ASCII"
            raise ArtifactError(message, is_retryable=False)
        return {"Authorization": f"Bearer {token}"}
    return {"Authorization": basic(secret)}


def basic(secret: Mapping[str, str]) -> str:
    """Return the value of a header with a user's name and password. Raises `ArtifactError`."""
    if "username" not in secret and "password" not in secret:
        raise ArtifactError(
            "its Secret has neither token nor username and password", is_retryable=False
        )
    pair = f"{secret.get('username', '').strip()}:{secret.get('password', '').strip()}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def shown(url: SplitResult) -> str:
    """Return a URL without its query, which may hold a signature."""
    return f"{url.scheme}://{url.netloc}{url.path}"
