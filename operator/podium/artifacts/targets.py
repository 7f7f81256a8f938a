"""Artifacts that leave the run: files put at a URL, or into any bucket."""

import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from podium.api.sources import HttpTarget, S3Object
from podium.artifacts.backend import Backend
from podium.artifacts.errors import ArtifactError
from podium.artifacts.http_connection import (
    AGAIN,
    AgainError,
    Bounds,
    Target,
    authorization,
    connected,
    shown,
    words_of,
)
from podium.artifacts.s3_source import settings_of

__all__ = ["Contents", "send"]

MAX_SECONDS = 3600.0
"""For one file, with all that is tried again."""
PATIENCE_SECONDS = 60.0
"""How long a server that does not take it is asked again."""
BACKOFF_SECONDS = (0.2, 5.0)
_DONE = frozenset((200, 201, 202, 204))


class Contents(NamedTuple):
    """A file of the store."""

    size: int
    read: Callable[[], Iterator[memoryview]]
    """Gives it from its beginning, however often."""


def send(
    name: str,
    to: HttpTarget | S3Object,
    contents: Contents,
    secret: Mapping[str, str],
    is_stopped: Callable[[], bool],
    *,
    allow_loopback: bool,
) -> None:
    """Put a file where it is to be. `secret` is what its secretRef names.

    Once more does no harm: it takes the place of what is there. Raises `ArtifactError`, and
    `InterruptedError` once it is stopped.
    """
    end = time.monotonic() + MAX_SECONDS
    bounds = Bounds(is_stopped, allow_loopback, contents.size, MAX_SECONDS, end)
    try:
        if isinstance(to, S3Object):
            settings = settings_of(to, secret, allow_loopback=allow_loopback)
            Backend(settings).write(to.key, _going(contents, bounds))
        else:
            _put(to, contents, secret, bounds)
    except ArtifactError as error:
        message = f"the artifact {name}: {error}"
        raise ArtifactError(message, code=error.code, is_retryable=error.is_retryable) from None


def _going(contents: Contents, bounds: Bounds) -> Iterator[memoryview]:
    for chunk in contents.read():
        bounds.require()
        yield chunk


def _put(to: HttpTarget, contents: Contents, secret: Mapping[str, str], bounds: Bounds) -> None:
    target = Target(urlsplit(to.url), {**to.headers, **authorization(secret)})
    begun, (wait, longest) = time.monotonic(), BACKOFF_SECONDS
    while True:
        try:
            _ask(target, contents, bounds)
        except AgainError as error:
            if time.monotonic() - begun > PATIENCE_SECONDS:
                message = f"{shown(target.url)}: {error}, and was tried again in vain"
                raise ArtifactError(message) from None
            bounds.pause(wait)
            wait = min(2 * wait, longest)
        except ArtifactError as error:
            message = f"{shown(target.url)}: {error}"
            raise ArtifactError(message, is_retryable=error.is_retryable) from None
        else:
            return


def _ask(target: Target, contents: Contents, bounds: Bounds) -> None:
    bounds.require()
    connection = connected(target, allow_loopback=bounds.allow_loopback)
    path = target.url.path or "/"
    path += f"?{target.url.query}" if target.url.query else ""
    always = {
        "Content-Length": str(contents.size),
        "User-Agent": "podium",
        "Connection": "close",
    }
    try:
        body = (bytes(chunk) for chunk in _going(contents, bounds))
        connection.request("PUT", path, body=body, headers={**always, **target.headers})
        response = connection.getresponse()
        response.read(1 << 16)
    except InterruptedError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise AgainError(f"does not take it ({words_of(error)})") from None
    finally:
        connection.close()
    if response.status in AGAIN:
        raise AgainError(f"answers {response.status} {response.reason:.80}")
    if response.status not in _DONE:
        hint = ": check the credentials" if response.status in (401, 403) else ""
        message = f"answers {response.status} {response.reason:.80}{hint}"
        raise ArtifactError(message, is_retryable=False)
