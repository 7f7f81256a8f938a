"""A lean client of the API server: no models, no retries, so that it costs next to nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
from kubernetes.aio import client, config

MERGE_PATCH = "application/merge-patch+json"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"

NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
WATCH_BUFFER = 1 << 22


class Refused(Exception):  # noqa: N818 - what the API server did
    """The API server refused; `status` is its code."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(f"{status}: {text[:500]}")


class Api:
    """Requests to the API server of KUBECONFIG."""

    def __init__(self, session: aiohttp.ClientSession, host: str) -> None:
        self._session = session
        self._host = host
        self.cuts = 0
        """Watches that the server ended: it does so with clients that read too slowly."""

    async def call(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Send a request; return what the answer says. Raises `Refused`."""
        data = await self.text(method, path, None if body is None else orjson.dumps(body), **query)
        return orjson.loads(data)

    async def patch(self, path: str, change: Any) -> Any:
        """Merge a change into an object; return what it became. Raises `Refused`."""
        content = {"Content-Type": MERGE_PATCH}
        return orjson.loads(await self._send("PATCH", path, orjson.dumps(change), {}, content))

    async def text(self, method: str, path: str, body: bytes | None = None, **query: str) -> bytes:
        """Send a request; return the answer as it is. Raises `Refused`."""
        return await self._send(method, path, body, query)

    async def table(self, path: str, **query: str) -> Any:
        """Return a collection as kubectl shows it, whatever its objects hold. Raises `Refused`."""
        return orjson.loads(await self._send("GET", path, None, query, {"Accept": TABLE}))

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        query: dict[str, str],
        headers: dict[str, str] | None = None,
    ) -> bytes:
        async with self._session.request(
            method, self._host + path, data=body, params=query, headers=headers
        ) as answer:
            data = await answer.read()
            if answer.status >= 400:
                raise Refused(answer.status, data.decode(errors="replace"))
            return data

    async def watch(self, path: str, version: str, **query: str) -> AsyncIterator[Any]:
        """Yield the events after a version of a collection; go on where the server cuts off."""
        while True:
            asked = {"watch": "1", "resourceVersion": version, **query}
            async with self._session.get(
                self._host + path, params=asked, timeout=NO_TIMEOUT, read_bufsize=WATCH_BUFFER
            ) as answer:
                if answer.status >= 400:
                    raise Refused(answer.status, await answer.text())
                rest = b""
                async for piece in answer.content.iter_any():
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        event = orjson.loads(line)
                        if event["type"] == "ERROR":
                            raise Refused(event["object"].get("code", 0), line.decode())
                        version = event["object"]["metadata"]["resourceVersion"]
                        yield event
            self.cuts += 1


@asynccontextmanager
async def connect(connections: int = 100) -> AsyncIterator[Api]:
    """Connect as the kubeconfig says."""
    configuration = client.Configuration()
    await config.load_kube_config(client_configuration=configuration)
    async with client.ApiClient(configuration) as theirs:
        tls = theirs.rest_client.ssl_context
        token = await configuration.get_api_key_with_prefix("BearerToken")
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token:
        headers["Authorization"] = token
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls, limit=connections), headers=headers
    ) as session:
        yield Api(session, configuration.host)
