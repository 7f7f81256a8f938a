"""One HTTP request: no redirect, an answer of bounded size, the address looked up once and kept.

A name that leads to a link-local address, or another one of a metadata service, is refused: there
clouds hand out the credentials of the machine.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from podium.api.addresses import refusal
from podium.api.reasons import NodeReason
from podium.runner.program import ProgramError

__all__ = ["UNREACHABLE", "Answer", "request"]

UNREACHABLE = "Unreachable"
MAX_BYTES = 1024 * 1024


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    seconds: float = 30,
    context: ssl.SSLContext | None = None,
    most: int = MAX_BYTES,
) -> Answer:
    """Make a request. Raises `ProgramError`."""
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host:
        raise ProgramError(NodeReason.CONFIG, "url: must begin with http:// or https:// and a host")
    if parts.username is not None:
        message = "url: holds credentials, which would be shown: put them in a header with fromEnv"
        raise ProgramError(NodeReason.CONFIG, message)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = _address(host, port)
        kind = _Secure if parts.scheme == "https" else _Plain
        connection = kind(host, port, timeout=seconds)
        connection.address = address
        if isinstance(connection, _Secure):
            connection.context = context or ssl.create_default_context()
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            found = answer.read(most + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        # The URL may hold a secret, as that of a webhook: only its host is named.
        words = f": {error}" if isinstance(error, OSError) else ""
        message = f"{host}: {type(error).__name__}{words:.300}"
        raise ProgramError(UNREACHABLE, message) from None
    if len(found) > most:
        raise ProgramError(NodeReason.OUTPUT_TOO_LARGE, f"the answer has more than {most:,} bytes")
    names = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, names, found)


def _address(host: str, port: int) -> str:
    """Look a host up. Raises `OSError`, `ProgramError`."""
    found = [each[4][0] for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for each in map(str, found):
        if why := refusal(ipaddress.ip_address(each.partition("%")[0])):
            message = f"{host} is {each}, {why} (metadata services): name another host"
            raise ProgramError(NodeReason.CONFIG, f"url: {message}")
    return str(found[0])


class _Plain(http.client.HTTPConnection):
    """Connects to the address that was looked up."""

    address = ""

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.create_connection((self.address, self.port), self.timeout)


class _Secure(_Plain):
    """As above, by TLS: the certificate is that of the name."""

    context: ssl.SSLContext

    def connect(self) -> None:
        """Connect."""
        super().connect()
        self.sock = self.context.wrap_socket(self.sock, server_hostname=self.host)
