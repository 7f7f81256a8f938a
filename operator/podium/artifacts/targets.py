"""Artifacts that leave the run: files put at a URL, or into any bucket."""

import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from podium.api.sources import HttpTarget, S3Object
from podium.artifacts.errors import ArtifactError
from podium.artifacts.http_connection import (
    AGAIN,
    AgainError,
    Bounds,
    Target,
    authorization,
    connected,
    path_of,
    refusal,
    shown,
    words_of,
)
from podium.artifacts.reach import Reach
from podium.artifacts.s3_source import url_of

__all__ = ["Contents", "load", "send"]

MAX_SECONDS = 3600.0
"""For one file, with all that is tried again."""
MAX_OBJECT_BYTES = 5 << 30
"""Of one request to a bucket, by the rules of S3."""
PATIENCE_SECONDS = 60.0
"""How long a server that does not take it is asked again."""
BACKOFF_SECONDS = (0.2, 5.0)
_DONE = frozenset((200, 201, 202, 204))


class Contents(NamedTuple):
    """A file of the store."""

    size: int
    read: Callable[[], Iterator[memoryview]]
    """Gives it from its beginning, however often."""


def load(target: Mapping[str, Any]) -> HttpTarget | S3Object:
    """Read a target as a Pod is told it: one field, its kind. Raises `ValueError`."""
    if "http" in target:
        return HttpTarget.model_validate(target["http"])
    return S3Object.model_validate(target.get("s3"))


def send(
    name: str,
    to: HttpTarget | S3Object,
    contents: Contents,
    secret: Mapping[str, str],
    is_stopped: Callable[[], bool],
    reach: Reach,
) -> None:
    """Put a file where it is to be. `secret` is what its secretRef names.

    Once more does no harm: it takes the place of what is there. Raises `ArtifactError`, and
    `InterruptedError` once it is stopped.
    """
    end = time.monotonic() + MAX_SECONDS
    bounds = Bounds(is_stopped, reach, contents.size, MAX_SECONDS, end)
    try:
        if isinstance(to, S3Object):
            if contents.size > MAX_OBJECT_BYTES:
                message = f"has more than {MAX_OBJECT_BYTES:,} bytes, which a bucket takes at once"
                raise ArtifactError(message, is_retryable=False)
            _put(Target(urlsplit(url_of(to, secret, "PUT")), {}), contents, bounds)
        else:
            headers = {**to.headers, **authorization(secret)}
            _put(Target(urlsplit(to.url), headers), contents, bounds)
    except ArtifactError as error:
        message = f"the artifact {name}: {error}"
        raise ArtifactError(message, code=error.code, is_retryable=error.is_retryable) from None


def _going(contents: Contents, bounds: Bounds) -> Iterator[memoryview]:
    for chunk in contents.read():
        bounds.require()
        yield chunk


def _put(target: Target, contents: Contents, bounds: Bounds) -> None:
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
    connection = connected(target, bounds.reach)
    always = {
        "Content-Length": str(contents.size),
        "User-Agent": "podium",
        "Connection": "close",
    }
    try:
        body = (bytes(chunk) for chunk in _going(contents, bounds))
        connection.request(
            "PUT", path_of(target.url), body=body, headers={**always, **target.headers}
        )
        response = connection.getresponse()
        if response.status in AGAIN:
            raise AgainError(f"answers {response.status} {response.reason:.80}")
        if response.status not in _DONE:
            raise refusal(response)
    except InterruptedError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise AgainError(f"does not take it ({words_of(error)})") from None
    finally:
        connection.close()
