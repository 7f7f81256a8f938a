"""Requests to the API server: made, bounded in time and number, and their answers read."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson

from podium.api.names import GROUP
from podium.cluster.kube.answers import (
    Answer,
    TooLongError,
    error_of,
    loaded,
    loaded_or_message,
    read_at_most,
)
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.kube.lanes import Lanes
from podium.cluster.kube.paths import collection
from podium.cluster.kube.views import dig, text

__all__ = [
    "JSON",
    "JSON_PATCH",
    "MERGE_PATCH",
    "METADATA",
    "METADATA_LIST",
    "PAGE_BYTES",
    "TABLE",
    "Signer",
    "Transport",
]

TIMEOUT_SECONDS = 30
CHANGE_SECONDS = 10
"""What changes something must arrive sooner: another operator may lead by then."""
PAGE = 500
LARGE_PAGE = 50
"""Jobs and Pods to a page: read, they take far more room than their views, and a process keeps
what it once took."""
PAGE_BYTES = 2_000_000
"""Of a page: read in 50 ms at most. One object alone may be 1.5 MB of labels."""
SHARDS_PAGE = 2
"""WorkflowRunNodes to a page: each may be 256 KB of outputs."""
WATCH_SECONDS = 290
"""After this long the server ends a watch, which is then begun again where it ended."""
SILENCE_SECONDS = 90
"""A watch without even a bookmark for so long is dead: the server sends one each minute."""

JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""An object without what it holds."""
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""A list without what the objects hold."""
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
"""What `kubectl get` shows of an object, made by the server."""
METADATA_ONLY = frozenset({"workflowruns", "contractschemas"})
"""Resources that are listed and watched without what the objects hold: that may be a megabyte each,
and deeper than a reader of JSON goes."""
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"

Signer = Callable[[str, str, str, str], Awaitable[tuple[str, dict[str, str]]]]
"""Returns the URL of a request (method, path, content, accept) and headers that say who asks."""


class Transport:
    """Requests to the API server, by their path."""

    def __init__(
        self,
        sign: Signer,
        session: aiohttp.ClientSession,
        fence: Callable[[], None] = lambda: None,
        on_request: Callable[[str, int, float], None] = lambda *_: None,
    ) -> None:
        self._sign = sign
        self._session = session
        self._fence = fence
        self._on_request = on_request
        self.lanes = Lanes()
        self.refusal: Callable[[bytes, str], Awaitable[str]] = _read_all
        """Says of an object of a user, as JSON, and its namespace why it is not to be read."""
        self._changing = 0
        """Requests under way that change something."""

    async def drain(self, seconds: float) -> bool:
        """Wait until nothing that changes anything is under way; return whether that is so."""
        end = time.monotonic() + seconds
        while self._changing and time.monotonic() < end:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.05)
        return not self._changing

    async def list_all(
        self, resource: str, namespace: str, selector: str
    ) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        """List one of `paths.collection`, of one namespace or (empty) of all.

        Gives pages and their version.
        """
        accept = METADATA_LIST if resource in METADATA_ONLY else JSON
        path, query = collection(resource, namespace), {"labelSelector": selector}
        async for page in self._paged(path, accept, LARGE_PAGE, query):
            version = text(dig(page, "metadata", "resourceVersion"))
            yield page.get("items") or [], version

    async def watch(
        self, resource: str, namespace: str, selector: str, version: str, fields: str = ""
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Give the events after a version, bookmarks too, until the server ends the watch.

        Raises `ApiError`, 410 when the version is too old.
        """
        query = {
            "watch": "true",
            "labelSelector": selector,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
            **({"fieldSelector": fields} if fields else {}),
        }
        path = f"{collection(resource, namespace)}?{urlencode(query)}"
        accept = METADATA if resource in METADATA_ONLY else JSON
        async for line in self.lines(path, accept, SILENCE_SECONDS):
            event = loaded_or_message(line)
            if event.get("type") == "ERROR":
                answer = event.get("object")
                code = answer.get("code") if isinstance(answer, dict) else None
                raise error_of(code if isinstance(code, int) else 500, None, answer)
            if "type" in event:  # else it was cut off
                yield event

    async def lines(
        self, path: str, accept: str, silence: float | None = None
    ) -> AsyncIterator[bytes]:
        """Give the lines of an answer as they come, one that is cut off at its end, too.

        `silence`: seconds without any, after which it counts as dead. Raises `ApiError`.
        """
        rest = b""
        async for chunk in self.chunks(path, accept, silence):
            found = (rest + chunk).split(b"\n")
            rest = found.pop()
            for line in found:
                yield line
        if rest:
            yield rest

    async def chunks(
        self, path: str, accept: str, silence: float | None = None
    ) -> AsyncIterator[bytes]:
        """Give an answer as it comes. Raises `ApiError`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=silence)
        try:
            url, headers = await self._sign("GET", path, JSON, accept)
            async with self._session.get(url, headers=headers, timeout=timeout) as response:
                if response.status >= 400:
                    data = await response.read()
                    raise error_of(
                        response.status,
                        response.headers.get("Retry-After"),
                        loaded_or_message(data),
                    )
                async for chunk in response.content.iter_any():
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "NoAnswer", f"{type(error).__name__}: {error}") from None

    @asynccontextmanager
    async def websocket(
        self, path: str, protocol: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a path that speaks a protocol of frames. Raises `ApiError`."""
        try:
            url, headers = await self._sign("GET", path, JSON, "*/*")
            async with self._session.ws_connect(
                url, protocols=(protocol,), headers=headers, max_msg_size=0
            ) as socket:
                yield socket
        except aiohttp.WSServerHandshakeError as error:
            what = f"the server answers {error.status} {error.message}"
            raise ApiError(error.status, "Refused", what, request=_verb("GET", path)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "NoAnswer", f"{type(error).__name__}: {error}") from None

    async def delete(self, path: str, uid: str, version: str = "", **more: Any) -> None:
        """Delete this very object, and what it owns in the background (kubernetes.md 1)."""
        same = {"uid": uid, **({"resourceVersion": version} if version else {})}
        options = {"propagationPolicy": "Background", "preconditions": same, **more}
        try:
            await self.call("DELETE", path, options)
        except ApiError as error:
            another = error.status == 409 and not version  # object of that name
            if error.status != 404 and not another:
                raise

    async def list_objects(
        self, path: str, accept: str = JSON, *, page_size: int = PAGE, **query: str
    ) -> list[dict[str, Any]]:
        """Return all objects of a collection."""
        found: list[dict[str, Any]] = []
        async for page in self.pages(path, accept, page_size=page_size, **query):
            found += page
        return found

    async def pages(
        self, path: str, accept: str = JSON, *, page_size: int = PAGE, **query: str
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Give the objects of a collection, page by page."""
        async for page in self._paged(path, accept, page_size, query):
            yield page.get("items") or []

    async def tables(self, path: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        """Give a collection as `kubectl get` shows it, with metadata, page by page."""
        async for page in self._paged(path, TABLE, PAGE, query):
            yield page

    async def _paged(
        self, path: str, accept: str, page_size: int, query: Mapping[str, str]
    ) -> AsyncIterator[dict[str, Any]]:
        """Give the pages of a collection; where the objects are large, they are fewer to a page."""
        more, size = "", page_size
        while True:
            asked = {**query, "limit": str(size), **({"continue": more} if more else {})}
            most = PAGE_BYTES if size > 1 else None
            try:
                page, _ = await self.exchange(
                    "GET", f"{path}?{urlencode(asked)}", accept=accept, most=most
                )
            except TooLongError:
                size = max(1, size // 8)
                continue
            yield page
            more, size = text(dig(page, "metadata", "continue")), min(page_size, 2 * size)
            if not more:
                return

    async def call(
        self, method: str, path: str, body: Any = None, content: str = JSON
    ) -> dict[str, Any]:
        """Make a request and return the answer. Raises `ApiError`."""
        return (await self.exchange(method, path, body, content))[0]

    async def content(self, path: str, most: int) -> bytes:
        """Return a body that is not an object, as it is. Raises as `exchange` does."""
        response = await self._receive("GET", path, None, JSON, "*/*", most)
        if response.status >= 400:
            raise error_of(
                response.status,
                response.retry_after,
                loaded_or_message(response.data),
                _verb("GET", path),
            )
        return response.data

    async def exchange(
        self,
        method: str,
        path: str,
        body: Any = None,
        content: str = JSON,
        accept: str = JSON,
        most: int | None = None,
    ) -> tuple[dict[str, Any], int]:
        """Make a request; return the answer and its bytes.

        Raises `ApiError`, and `TooLongError` for an answer of more than `most` bytes.
        """
        response = await self._receive(method, path, body, content, accept, most)
        status, received = response.status, response.data
        namespace = _of_user(path)
        if namespace and status < 400 and (problem := await self.refusal(received, namespace)):
            raise UnreadableError(problem, _verb(method, path), problem)
        try:
            answer = loaded(received)
        except orjson.JSONDecodeError as error:
            if status < 400 and "depth limit" in str(error):
                raise UnreadableError(f"{error!s:.200}", _verb(method, path)) from None
            answer = loaded_or_message(received)
        if status >= 400:
            raise error_of(status, response.retry_after, answer, _verb(method, path))
        return answer, len(received)

    async def _receive(
        self, method: str, path: str, body: Any, content: str, accept: str, most: int | None
    ) -> Answer:
        """Make a request; return what comes back, whatever its status."""
        data = None if body is None else orjson.dumps(body)
        async with self.lanes.slots:
            url, headers = await self._sign(method, path, content, accept)
            # After whatever was waited for: nothing may change once this process is not the leader.
            changes = method != "GET"
            if changes:
                self._fence()
            begin = time.monotonic()
            status = 0
            self._changing += changes
            try:
                async with self._session.request(
                    method,
                    url,
                    data=data,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(
                        total=CHANGE_SECONDS if changes else TIMEOUT_SECONDS, sock_connect=5
                    ),
                    trace_request_ctx=changes,
                ) as response:
                    status = response.status
                    received = await read_at_most(response, most)
                    return Answer(status, received, response.headers.get("Retry-After"))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                what = f"{type(error).__name__}: {error}"
                raise ApiError(0, "NoAnswer", what, request=_verb(method, path)) from None
            finally:
                self._changing -= changes
                self._on_request(_verb(method, path), status, time.monotonic() - begin)


async def _read_all(_data: bytes, _namespace: str) -> str:
    return ""


def _of_user(path: str) -> str:
    """Return the namespace of the one object of a user that a path names; empty: it names none."""
    parts = path.partition("?")[0].split("/")
    names_one = len(parts) > 7 and parts[2] == GROUP and parts[4] == "namespaces"
    is_large = names_one and parts[6] in ("workflows", "workflowruns", "contractschemas")
    return parts[5] if is_large else ""


def _verb(method: str, path: str) -> str:
    """Name a request for the metrics: `POST jobs`, `PATCH jobs/status`."""
    parts = path.partition("?")[0].split("/")
    _, _, rest = path.partition("?")[0].partition("/namespaces/")
    inner = rest.split("/")[1:]  # behind the namespace's name
    if not inner:  # a collection of all namespaces, or objects of the cluster
        return f"{method} {'clusterexecutors' if 'clusterexecutors' in parts else parts[-1]}"
    return f"{method} {inner[0]}" + (f"/{inner[2]}" if len(inner) > 2 else "")
