"""The only module that speaks to the API server: plain dicts in, plain dicts out.

Every request is bounded in time and in number. What goes wrong is an `ApiError`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import orjson
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from podium.api.names import GROUP, VERSION

__all__ = ["ApiError", "Gateway", "connect", "in_cluster"]

TIMEOUT_SECONDS = 30
CONNECTIONS = 32
PAGE = 500
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

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
    ) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.causes = tuple(causes)
        super().__init__(f"{status} {reason}: {message}")

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
    return not os.environ.get("KUBECONFIG") and _TOKEN.exists()


@asynccontextmanager
async def connect() -> AsyncIterator["Gateway"]:
    """Connect as the Pod's ServiceAccount, or as the kubeconfig says (KUBECONFIG first)."""
    configuration = client.Configuration()
    if in_cluster():
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.connection_pool_maxsize = CONNECTIONS
    async with client.ApiClient(configuration) as api:
        yield Gateway(api)


class Gateway:
    """Requests to the API server."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self._slots = asyncio.Semaphore(CONNECTIONS)

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
    ) -> dict[str, Any]:
        """Change the status of a WorkflowRun by JSON Patch."""
        path = _own(namespace, "workflowruns", name, "status")
        return await self._call("PATCH", path, operations, content=JSON_PATCH)

    async def delete_run(self, namespace: str, name: str, uid: str) -> None:
        """Delete a WorkflowRun and what belongs to it."""
        await self._delete(_own(namespace, "workflowruns", name), uid)

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

    async def list_jobs(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """Return the Jobs with these labels."""
        return await self._list(_jobs(namespace), labelSelector=selector)

    async def set_job_ttl(self, namespace: str, name: str, seconds: int) -> None:
        """Let an ended Job be removed after some seconds."""
        change = {"spec": {"ttlSecondsAfterFinished": seconds}}
        await self._call("PATCH", _jobs(namespace, name), change, content=MERGE_PATCH)

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete a Job and its Pods."""
        await self._delete(_jobs(namespace, name), uid)

    async def list_pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """Return the Pods with these labels."""
        return await self._list(_pods(namespace), labelSelector=selector)

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """Delete a Pod, with its grace period."""
        await self._delete(_pods(namespace, name), uid)

    # What stands around them

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Post an Event."""
        await self._call("POST", f"/api/v1/namespaces/{quote(namespace)}/events", event)

    async def list_events(self, namespace: str, uid: str) -> list[dict[str, Any]]:
        """Return the Events of an object."""
        path = f"/api/v1/namespaces/{quote(namespace)}/events"
        return await self._list(path, fieldSelector=f"involvedObject.uid={uid}")

    async def get_service_account(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a ServiceAccount."""
        path = f"/api/v1/namespaces/{quote(namespace)}/serviceaccounts/{quote(name)}"
        return await self._call("GET", path)

    async def get_revision(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a ControllerRevision."""
        return await self._call("GET", _revisions(namespace, name))

    async def create_revision(self, namespace: str, revision: Mapping[str, Any]) -> dict[str, Any]:
        """Create a ControllerRevision."""
        return await self._call("POST", _revisions(namespace), revision)

    async def list_revisions(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """Return the ControllerRevisions with these labels."""
        return await self._list(_revisions(namespace), labelSelector=selector)

    async def delete_revision(self, namespace: str, name: str, uid: str) -> None:
        """Delete a ControllerRevision."""
        await self._delete(_revisions(namespace, name), uid)

    # How

    async def _delete(self, path: str, uid: str) -> None:
        """Delete this very object, and what it owns in the background (OPERATOR.md I 1)."""
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._call("DELETE", path, options)
        except ApiError as error:
            if error.status not in (404, 409):  # gone, or another object of that name
                raise

    async def _list(self, path: str, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        more = ""
        while True:
            page = {**query, "limit": str(PAGE), **({"continue": more} if more else {})}
            answer = await self._call("GET", f"{path}?{urlencode(page)}")
            found += answer.get("items") or []
            more = (answer.get("metadata") or {}).get("continue") or ""
            if not more:
                return found

    async def _call(
        self, method: str, path: str, body: Any = None, content: str = "application/json"
    ) -> dict[str, Any]:
        async with self._slots:
            try:
                method, url, headers, body, _ = await self._api.param_serialize(
                    method,
                    path,
                    header_params={"Accept": "application/json", "Content-Type": content},
                    body=body,
                    auth_settings=["BearerToken"],
                )
                response = await self._api.call_api(
                    method, url, headers, body, _request_timeout=TIMEOUT_SECONDS
                )
                data = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError, ApiException) as error:
                raise ApiError(0, "NoAnswer", f"{type(error).__name__}: {error}") from None
        try:
            answer = orjson.loads(data) if data else {}
        except orjson.JSONDecodeError:
            answer = {"message": data[:200].decode(errors="replace")}
        if response.status >= 400:
            raise _error(response.status, response.getheader("Retry-After"), answer)
        return answer if isinstance(answer, dict) else {}


def _error(status: int, retry_after: str | None, answer: Any) -> ApiError:
    answer = answer if isinstance(answer, dict) else {}
    causes = (answer.get("details") or {}).get("causes") or []
    return ApiError(
        status,
        str(answer.get("reason") or "Error"),
        str(answer.get("message") or "no message"),
        float(retry_after) if retry_after is not None and retry_after.isdigit() else None,
        [str(cause.get("reason")) for cause in causes if isinstance(cause, dict)],
    )


def _own(namespace: str, plural: str, *rest: str) -> str:
    return _path(f"/apis/{GROUP}/{VERSION}", namespace, plural, *rest)


def _jobs(namespace: str, *rest: str) -> str:
    return _path("/apis/batch/v1", namespace, "jobs", *rest)


def _pods(namespace: str, *rest: str) -> str:
    return _path("/api/v1", namespace, "pods", *rest)


def _revisions(namespace: str, *rest: str) -> str:
    return _path("/apis/apps/v1", namespace, "controllerrevisions", *rest)


def _path(base: str, namespace: str, plural: str, *rest: str) -> str:
    return "/".join([base, "namespaces", quote(namespace, safe=""), plural, *rest])
