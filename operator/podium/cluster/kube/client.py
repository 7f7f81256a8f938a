"""The only module that speaks to the API server: plain dicts in, plain dicts out.

The official client finds the server and says who we are; the requests are made here, because its
own way of writing a body costs more than all the rest. Every request is bounded in time and in
number, and what may wait leaves room for what must not. What goes wrong is an `ApiError`.
"""

import asyncio
import os
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import orjson
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from podium.api.names import GROUP, VERSION

__all__ = ["ApiError", "Gateway", "connect", "in_cluster", "own_namespace"]

TIMEOUT_SECONDS = 30
CHANGE_SECONDS = 10
"""What changes something must arrive sooner: another operator may lead by then."""
CONNECTIONS = 40
"""Requests under way at the same time."""
UNHURRIED = 2
"""How many of them may be of those that can wait."""
PAUSE = 4
"""After each of these its lane rests so many times as long as it took: many a second go while the
server is idle, and few while it is busy with what somebody waits for."""
KEEP_SECONDS = 300
"""A connection that nobody uses stays so long."""
PAGE = 500
LARGE_PAGE = 50
"""Jobs and Pods to a page: read, they take far more room than their views, and a process keeps
what it once took."""
WATCH_SECONDS = 290
"""After this long the server ends a watch, which is then begun again where it ended."""
SILENCE_SECONDS = 90
"""A watch without even a bookmark for so long is dead: the server sends one each minute."""
CATCHING_UP = 6
"""So many more while what can wait has waited for long: a server that is slow for an hour must not
leave an hour's work behind."""
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""A list without what the objects hold."""
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


class ApiError(Exception):
    """The API server refused, or did not answer (`status` 0)."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        retry_after: float | None = None,
        causes: Sequence[str] = (),
        request: str = "",
    ) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.causes = tuple(causes)
        asked = f"{request}: " if request else ""
        super().__init__(f"{asked}{status} {reason}: {message}")

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (0, 429) or self.status >= 500

    @property
    def exceeded_quota(self) -> bool:
        """Whether a quota is used up."""
        return self.status == 403 and "exceeded quota" in self.message

    @property
    def namespace_terminating(self) -> bool:
        """Whether the namespace is being deleted."""
        return self.status == 403 and (
            "NamespaceTerminating" in self.causes
            or "because it is being terminated" in self.message
        )


def in_cluster() -> bool:
    """Whether to be the Pod's ServiceAccount, rather than whom the kubeconfig says."""
    return not os.environ.get("KUBECONFIG") and (_ACCOUNT / "token").exists()


def own_namespace() -> str:
    """Return the namespace of the Pod that this is; empty: it is none."""
    file = _ACCOUNT / "namespace"
    return file.read_text().strip() if in_cluster() and file.exists() else ""


@asynccontextmanager
async def connect(
    fence: Callable[[], None] = lambda: None,
    told: Callable[[str, int, float], None] = lambda *_: None,
) -> AsyncIterator["Gateway"]:
    """Connect as the Pod's ServiceAccount, or as the kubeconfig says (KUBECONFIG first).

    `fence` is called before each request that changes something and does not return if this process
    may not. `told` gets each request's verb and resource, its status and its seconds.
    """
    configuration = client.Configuration()
    if in_cluster():
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    async with client.ApiClient(configuration) as api:
        # Connections are kept while nothing happens: making one takes longer than a request.
        connector = aiohttp.TCPConnector(
            limit=0, ssl=api.rest_client.ssl_context, keepalive_timeout=KEEP_SECONDS
        )
        async with aiohttp.ClientSession(
            # With it, aiohttp reads a file in a thread for each request, for a proxy only.
            connector=connector,
            trust_env=bool(urllib.request.getproxies()),
            trace_configs=[_fenced(fence)],
        ) as session:
            yield Gateway(api, session, fence, told)


def _fenced(fence: Callable[[], None]) -> aiohttp.TraceConfig:
    """Ask the fence once more when the connection is there: making one may have taken long."""

    async def check(_session: Any, context: Any, _params: Any) -> None:
        if context.trace_request_ctx:
            fence()

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(check)
    trace.on_connection_reuseconn.append(check)
    return trace


class Gateway:
    """Requests to the API server."""

    def __init__(
        self,
        api: Any,
        session: aiohttp.ClientSession,
        fence: Callable[[], None] = lambda: None,
        told: Callable[[str, int, float], None] = lambda *_: None,
    ) -> None:
        self._api = api
        self._session = session
        self._fence = fence
        self._told = told
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._patient = asyncio.Semaphore(UNHURRIED)
        self._events = asyncio.Semaphore(UNHURRIED)
        """Few as well, but they do not rest: an Event may be the answer to what a user asked."""
        self._news = asyncio.Semaphore(1)
        """For Events that rest, so that they hold up no finalizer."""
        self._catching_up = asyncio.Semaphore(CATCHING_UP)
        self._behind: Callable[[], bool] = lambda: False
        self._changing = 0
        """Requests under way that change something."""

    async def drain(self, seconds: float) -> bool:
        """Wait until nothing that changes anything is under way; tell whether that is so."""
        end = time.monotonic() + seconds
        while self._changing and time.monotonic() < end:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.05)
        return not self._changing

    def when_behind(self, behind: Callable[[], bool]) -> None:
        """Let more of what can wait through while `behind` says that it has waited for long."""
        self._behind = behind

    @asynccontextmanager
    async def _unhurried(self) -> AsyncIterator[None]:
        """Let a request that can wait through; the next one waits longer the longer this takes."""
        if self._behind() and not self._catching_up.locked():
            async with self._catching_up:
                yield
        else:
            async with self._resting(self._patient):
                yield

    @asynccontextmanager
    async def _resting(self, lane: asyncio.Semaphore) -> AsyncIterator[None]:
        """Take a lane, and give it back after a pause in proportion to what was done."""
        await lane.acquire()
        begin = time.monotonic()
        try:
            yield
        finally:
            pause = PAUSE * (time.monotonic() - begin)
            asyncio.get_running_loop().call_later(pause, lane.release)

    # Runs and Workflows

    async def get_run(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a WorkflowRun."""
        return await self._call("GET", _own(namespace, "workflowruns", name))

    async def patch_run(
        self, namespace: str, name: str, operations: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Change metadata of a WorkflowRun by JSON Patch."""
        path = _own(namespace, "workflowruns", name)
        return await self._call("PATCH", path, operations, content=JSON_PATCH)

    async def patch_run_status(
        self, namespace: str, name: str, operations: list[dict[str, Any]]
    ) -> tuple[dict[str, Any], int]:
        """Change the status of a WorkflowRun by JSON Patch; return it and its bytes."""
        path = _own(namespace, "workflowruns", name, "status")
        return await self._exchange("PATCH", path, operations, content=JSON_PATCH)

    async def delete_run(self, namespace: str, name: str, uid: str, version: str) -> None:
        """Delete a WorkflowRun of this version, and what belongs to it; 409: it changed since."""
        await self._delete(_own(namespace, "workflowruns", name), uid, version)

    async def create_run_nodes(self, shard: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """Create a WorkflowRunNodes; return it and its bytes."""
        path = _own(shard["metadata"]["namespace"], "workflowrunnodes")
        return await self._exchange("POST", path, shard)

    async def list_run_nodes(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """Return the WorkflowRunNodes with these labels."""
        return await self._list(_own(namespace, "workflowrunnodes"), labelSelector=selector)

    async def delete_run_nodes(self, namespace: str, name: str, uid: str) -> None:
        """Delete a WorkflowRunNodes."""
        await self._delete(_own(namespace, "workflowrunnodes", name), uid)

    async def list_run_uids(self, namespace: str) -> set[str]:
        """Return the UIDs of the WorkflowRuns of one namespace or (empty) of all."""
        path = f"/apis/{GROUP}/{VERSION}/workflowruns"
        path = _own(namespace, "workflowruns") if namespace else path
        bodies = await self._list(path, METADATA)
        return {str((body.get("metadata") or {}).get("uid")) for body in bodies}

    async def get_workflow(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Workflow."""
        return await self._call("GET", _own(namespace, "workflows", name))

    async def patch_workflow_status(
        self, namespace: str, name: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Change fields of a Workflow's status."""
        path = _own(namespace, "workflows", name, "status")
        return await self._call("PATCH", path, {"status": status}, content=MERGE_PATCH)

    # Jobs and Pods

    async def create_job(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Create a Job."""
        return await self._call("POST", _jobs(job["metadata"]["namespace"]), job)

    async def get_job(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Job."""
        return await self._call("GET", _jobs(namespace, name))

    async def set_job_ttl(self, namespace: str, name: str, seconds: int) -> None:
        """Let an ended Job be removed after some seconds."""
        change = {"spec": {"ttlSecondsAfterFinished": seconds}}
        async with self._unhurried():
            await self._call("PATCH", _jobs(namespace, name), change, content=MERGE_PATCH)

    async def patch_job_status(
        self, namespace: str, name: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Change fields of the status of a Job that Podium manages."""
        path = _jobs(namespace, name, "status")
        async with self._unhurried():
            return await self._call("PATCH", path, {"status": status}, content=MERGE_PATCH)

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete a Job and its Pods."""
        await self._delete(_jobs(namespace, name), uid)

    async def create_pod(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        """Create a Pod."""
        return await self._call("POST", _pods(pod["metadata"]["namespace"]), pod)

    async def get_pod(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Pod."""
        return await self._call("GET", _pods(namespace, name))

    async def patch_pod(
        self, namespace: str, name: str, operations: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Change metadata of a Pod by JSON Patch."""
        async with self._unhurried():
            return await self._call("PATCH", _pods(namespace, name), operations, content=JSON_PATCH)

    async def delete_pod(
        self, namespace: str, name: str, uid: str, *, version: str = "", force: bool = False
    ) -> None:
        """Delete a Pod, with its grace period; by force: without waiting for its machine.

        Of this version only, if one is named; 409: it changed since.
        """
        grace = {"gracePeriodSeconds": 0} if force else {}
        await self._delete(_pods(namespace, name), uid, version, **grace)

    # What stands around them

    async def create_event(
        self, namespace: str, event: Mapping[str, Any], *, patient: bool = False
    ) -> None:
        """Post an Event; a patient one goes when the server has time."""
        async with self._resting(self._news) if patient else self._events:
            await self._call("POST", _path("/api/v1", namespace, "events"), event)

    async def list_events(self, namespace: str, uid: str) -> list[dict[str, Any]]:
        """Return the Events of an object."""
        path = _path("/api/v1", namespace, "events")
        return await self._list(path, fieldSelector=f"involvedObject.uid={uid}")

    async def get_service_account(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a ServiceAccount."""
        path = _path("/api/v1", namespace, "serviceaccounts", name)
        return await self._call("GET", path)

    async def get_lease(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Lease."""
        return await self._call("GET", _leases(namespace, name))

    async def create_lease(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Create a Lease."""
        return await self._call("POST", _leases(lease["metadata"]["namespace"]), lease)

    async def replace_lease(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Replace a Lease, if its resourceVersion is still the current one."""
        meta = lease["metadata"]
        return await self._call("PUT", _leases(meta["namespace"], meta["name"]), lease)

    async def get_deployment(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Deployment."""
        return await self._call("GET", _path("/apis/apps/v1", namespace, "deployments", name))

    async def scale_deployment(self, namespace: str, name: str, replicas: int) -> None:
        """Change how many Pods a Deployment has."""
        path = _path("/apis/apps/v1", namespace, "deployments", name, "scale")
        await self._call("PATCH", path, {"spec": {"replicas": replicas}}, content=MERGE_PATCH)

    async def get_revision(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a ControllerRevision."""
        return await self._call("GET", _revisions(namespace, name))

    async def create_revision(self, namespace: str, revision: Mapping[str, Any]) -> dict[str, Any]:
        """Create a ControllerRevision."""
        return await self._call("POST", _revisions(namespace), revision)

    async def list_revisions(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """Return the ControllerRevisions with these labels, without what they hold."""
        return await self._list(_revisions(namespace), METADATA, labelSelector=selector)

    async def delete_revision(self, namespace: str, name: str, uid: str) -> None:
        """Delete a ControllerRevision."""
        await self._delete(_revisions(namespace, name), uid)

    # Watching

    async def list_all(
        self, resource: str, namespace: str, selector: str
    ) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        """List `jobs` or `pods`, of one namespace or (empty) of all: pages and their version."""
        more = ""
        while True:
            query = {"limit": str(LARGE_PAGE), "labelSelector": selector}
            if more:
                query["continue"] = more
            answer = await self._call(
                "GET", f"{_collection(resource, namespace)}?{urlencode(query)}"
            )
            meta = answer.get("metadata") or {}
            yield answer.get("items") or [], str(meta.get("resourceVersion") or "")
            more = meta.get("continue") or ""
            if not more:
                return

    async def watch(
        self, resource: str, namespace: str, selector: str, version: str
    ) -> AsyncIterator[dict[str, Any]]:
        """Give the events after a version, bookmarks too, until the server ends the watch.

        Raises `ApiError`, 410 when the version is too old.
        """
        query = {
            "watch": "true",
            "labelSelector": selector,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        path = f"{_collection(resource, namespace)}?{urlencode(query)}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE_SECONDS)
        try:
            url, headers = await self._address("GET", path, "application/json")
            async with self._session.get(url, headers=headers, timeout=timeout) as response:
                if response.status >= 400:
                    data = await response.read()
                    raise _error(response.status, response.headers.get("Retry-After"), _json(data))
                rest = b""
                async for chunk in response.content.iter_any():
                    lines = (rest + chunk).split(b"\n")
                    rest = lines.pop()
                    for line in lines:
                        event = _json(line)
                        if event.get("type") == "ERROR":
                            answer = event.get("object")
                            code = answer.get("code") if isinstance(answer, dict) else None
                            raise _error(code if isinstance(code, int) else 500, None, answer)
                        yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ApiException) as error:
            raise ApiError(0, "NoAnswer", f"{type(error).__name__}: {error}") from None

    # How

    async def _delete(self, path: str, uid: str, version: str = "", **more: Any) -> None:
        """Delete this very object, and what it owns in the background (kubernetes.md 1)."""
        same = {"uid": uid, **({"resourceVersion": version} if version else {})}
        options = {"propagationPolicy": "Background", "preconditions": same, **more}
        try:
            await self._call("DELETE", path, options)
        except ApiError as error:
            another = error.status == 409 and not version  # object of that name
            if error.status != 404 and not another:
                raise

    async def _list(self, path: str, accept: str = JSON, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        more = ""
        while True:
            page = {**query, "limit": str(PAGE), **({"continue": more} if more else {})}
            answer, _ = await self._exchange("GET", f"{path}?{urlencode(page)}", accept=accept)
            found += answer.get("items") or []
            more = (answer.get("metadata") or {}).get("continue") or ""
            if not more:
                return found

    async def _address(
        self, method: str, path: str, content: str, accept: str = JSON
    ) -> tuple[str, dict[str, str]]:
        """Return the URL of a path, and headers that say who asks."""
        _, url, headers, _, _ = await self._api.param_serialize(
            method,
            path,
            header_params={"Accept": accept, "Content-Type": content},
            auth_settings=["BearerToken"],
        )
        return url, headers

    async def _call(
        self, method: str, path: str, body: Any = None, content: str = "application/json"
    ) -> dict[str, Any]:
        return (await self._exchange(method, path, body, content))[0]

    async def _exchange(
        self, method: str, path: str, body: Any = None, content: str = JSON, accept: str = JSON
    ) -> tuple[dict[str, Any], int]:
        data = None if body is None else orjson.dumps(body)
        async with self._slots:
            url, headers = await self._address(method, path, content, accept)
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
                    received = await response.read()
                    retry_after = response.headers.get("Retry-After")
            except (aiohttp.ClientError, TimeoutError, OSError, ApiException) as error:
                what = f"{type(error).__name__}: {error}"
                raise ApiError(0, "NoAnswer", what, request=_verb(method, path)) from None
            finally:
                self._changing -= changes
                self._told(_verb(method, path), status, time.monotonic() - begin)
        answer = _json(received)
        if status >= 400:
            raise _error(status, retry_after, answer, _verb(method, path))
        return answer, len(received)


def _json(data: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(data) if data else {}
    except orjson.JSONDecodeError:
        return {"message": data[:200].decode(errors="replace")}
    return answer if isinstance(answer, dict) else {}


def _verb(method: str, path: str) -> str:
    """Name a request for the metrics: `POST jobs`, `PATCH jobs/status`."""
    parts = path.partition("?")[0].split("/")
    _, _, rest = path.partition("?")[0].partition("/namespaces/")
    inner = rest.split("/")[1:]  # behind the namespace's name
    if not inner:
        return f"{method} {parts[-1]}"
    return f"{method} {inner[0]}" + (f"/{inner[2]}" if len(inner) > 2 else "")


def _error(status: int, retry_after: str | None, answer: Any, request: str = "") -> ApiError:
    answer = answer if isinstance(answer, dict) else {}
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    digits = retry_after is not None and retry_after.isascii() and retry_after.isdigit()
    return ApiError(
        status,
        str(answer.get("reason") or "Error"),
        str(answer.get("message") or "no message"),
        min(float(retry_after or 0), 300.0) if digits else None,
        [
            str(cause.get("reason"))
            for cause in (causes if isinstance(causes, list) else [])
            if isinstance(cause, dict)
        ],
        request,
    )


def _own(namespace: str, plural: str, *rest: str) -> str:
    return _path(f"/apis/{GROUP}/{VERSION}", namespace, plural, *rest)


def _jobs(namespace: str, *rest: str) -> str:
    return _path("/apis/batch/v1", namespace, "jobs", *rest)


def _pods(namespace: str, *rest: str) -> str:
    return _path("/api/v1", namespace, "pods", *rest)


def _leases(namespace: str, *rest: str) -> str:
    return _path("/apis/coordination.k8s.io/v1", namespace, "leases", *rest)


def _revisions(namespace: str, *rest: str) -> str:
    return _path("/apis/apps/v1", namespace, "controllerrevisions", *rest)


def _collection(resource: str, namespace: str) -> str:
    base = {"jobs": "/apis/batch/v1", "pods": "/api/v1"}[resource]
    return _path(base, namespace, resource) if namespace else f"{base}/{resource}"


def _path(base: str, namespace: str, plural: str, *rest: str) -> str:
    # `..` would be another path, and quoting leaves it as it is.
    parts = [quote(part, safe="") if part not in (".", "..") else "%2E" for part in rest]
    return "/".join([base, "namespaces", quote(namespace, safe=""), plural, *parts])
