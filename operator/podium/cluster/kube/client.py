"""The only module that speaks to the API server: plain dicts in, plain dicts out.

`connection` finds the server and says who we are; the requests are made here, because the official
client's way of writing a body costs more than all the rest. Every request is bounded in time and in
number, and what may wait leaves room for what must not. What goes wrong is an `ApiError`.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from podium.api.names import ARTIFACTS_OF, GROUP, VERSION
from podium.api.run import RunPhase
from podium.cluster.kube import paths
from podium.cluster.kube.answers import TooLongError
from podium.cluster.kube.errors import UnreadableError
from podium.cluster.kube.transport import (
    JSON_PATCH,
    MERGE_PATCH,
    METADATA,
    METADATA_LIST,
    SHARDS_PAGE,
    TABLE,
    Transport,
)
from podium.cluster.kube.views import dig, items, text

__all__ = ["KubernetesClient"]

EXECUTOR_BYTES = 256 * 1024
"""Of an Executor with its metadata; its spec may have a quarter of it."""
EVENT_PAGES = 10
EVENT_CHARACTERS = 2000
"""Of its message."""
_EVENT_FIELDS = ("reason", "lastTimestamp", "eventTime", "firstTimestamp")
STORES_PAGE = 20
SCHEMA_BYTES = 1024 * 1024
"""Of a ContractSchema with its metadata and status; its spec may have half of it."""


class KubernetesClient(Transport):
    """The requests that the operator makes."""

    # Runs and Workflows

    async def get_run(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a WorkflowRun."""
        return await self.call("GET", paths.own(namespace, "workflowruns", name))

    async def get_run_columns(self, namespace: str, name: str) -> dict[str, Any]:
        """Return what `kubectl get` shows of a WorkflowRun, by column, however large it is."""
        path = f"{paths.own(namespace, 'workflowruns', name)}?includeObject=None"
        table, _ = await self.exchange("GET", path, accept=TABLE)
        names = [text(dig(each, "name")) for each in items(table.get("columnDefinitions"))]
        row = next(iter(items(table.get("rows"))), {})
        cells = row.get("cells")
        return dict(zip(names, cells if isinstance(cells, list) else (), strict=False))

    async def patch_run(
        self, namespace: str, name: str, operations: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Change metadata of a WorkflowRun by JSON Patch."""
        path = paths.own(namespace, "workflowruns", name)
        return await self.call("PATCH", path, operations, content=JSON_PATCH)

    async def patch_run_status(
        self, namespace: str, name: str, operations: list[dict[str, Any]]
    ) -> tuple[dict[str, Any], int]:
        """Change the status of a WorkflowRun by JSON Patch; return it and its bytes."""
        path = paths.own(namespace, "workflowruns", name, "status")
        return await self.exchange("PATCH", path, operations, content=JSON_PATCH)

    async def create_run(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """Create a WorkflowRun: a child of another one."""
        return await self.call("POST", paths.own(run["metadata"]["namespace"], "workflowruns"), run)

    async def control_run(
        self, namespace: str, name: str, uid: str, change: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Change what a WorkflowRun is asked for; 409: there is another one of that name."""
        body = {**change, "metadata": {**change.get("metadata", {}), "uid": uid}}
        path = paths.own(namespace, "workflowruns", name)
        return await self.call("PATCH", path, body, content=MERGE_PATCH)

    async def delete_run(self, namespace: str, name: str, uid: str, version: str) -> None:
        """Delete a WorkflowRun of this version, and what belongs to it; 409: it changed since."""
        await self.delete(paths.own(namespace, "workflowruns", name), uid, version)

    async def create_run_nodes(self, shard: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """Create a WorkflowRunNodes; return it and its bytes."""
        path = paths.own(shard["metadata"]["namespace"], "workflowrunnodes")
        return await self.exchange("POST", path, shard)

    async def list_run_nodes(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """Return the WorkflowRunNodes with these labels."""
        return await self.list_objects(
            paths.own(namespace, "workflowrunnodes"), page_size=SHARDS_PAGE, labelSelector=selector
        )

    async def delete_run_nodes(self, namespace: str, name: str, uid: str) -> None:
        """Delete a WorkflowRunNodes."""
        await self.delete(paths.own(namespace, "workflowrunnodes", name), uid)

    async def get_workflow(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Workflow."""
        return await self.call("GET", paths.own(namespace, "workflows", name))

    async def patch_workflow_status(
        self, namespace: str, name: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Change fields of a Workflow's status."""
        path = paths.own(namespace, "workflows", name, "status")
        return await self.call("PATCH", path, {"status": status}, content=MERGE_PATCH)

    async def get_executor(self, namespace: str, name: str) -> dict[str, Any]:
        """Return an Executor, or (empty namespace) a ClusterExecutor.

        Raises `UnreadableError`: it is larger than any valid one.
        """
        return await self._get_small(paths.executors(namespace, name), EXECUTOR_BYTES)

    async def list_executors(self, namespace: str, limit: int) -> list[dict[str, Any]]:
        """Return the metadata of the first Executors, or (empty namespace) ClusterExecutors."""
        path = f"{paths.executors(namespace)}?limit={limit}"
        page, _ = await self.exchange("GET", path, accept=METADATA_LIST)
        return page.get("items") or []

    async def get_artifact_store(self, namespace: str, name: str) -> dict[str, Any]:
        """Return an ArtifactStore. Raises `UnreadableError`: it is larger than any valid one."""
        return await self._get_small(paths.own(namespace, "artifactstores", name), EXECUTOR_BYTES)

    async def get_contract_schema(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a ContractSchema. Raises `UnreadableError`: it is larger than any valid one."""
        return await self._get_small(paths.own(namespace, "contractschemas", name), SCHEMA_BYTES)

    async def get_persona(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Persona. Raises `UnreadableError`: it is larger than any valid one."""
        return await self._get_small(paths.own(namespace, "personas", name), EXECUTOR_BYTES)

    async def get_model_config(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a ModelConfig. Raises `UnreadableError`: it is larger than any valid one."""
        return await self._get_small(paths.own(namespace, "modelconfigs", name), EXECUTOR_BYTES)

    async def patch_contract_schema_status(
        self, namespace: str, name: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Change fields of a ContractSchema's status."""
        path = paths.own(namespace, "contractschemas", name, "status")
        return await self.call("PATCH", path, {"status": status}, content=MERGE_PATCH)

    async def _get_small(self, path: str, most: int) -> dict[str, Any]:
        """Return an object of at most so many bytes. Raises `UnreadableError`."""
        try:
            body, _ = await self.exchange("GET", path, most=most)
        except TooLongError:
            problem = f"it has more than {most:,} bytes: make its spec smaller"
            raise UnreadableError("too large", problem=problem) from None
        return body

    async def list_artifact_stores(self, namespace: str) -> list[dict[str, Any]]:
        """Return the specs of the ArtifactStores of a namespace."""
        path = paths.own(namespace, "artifactstores")
        pages = self.pages(path, page_size=STORES_PAGE)
        return [{"spec": each.get("spec")} async for page in pages for each in page]

    # Jobs and Pods

    async def create_job(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Create a Job."""
        return await self.call("POST", paths.jobs(job["metadata"]["namespace"]), job)

    async def try_out_job(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Return a Job as the server would make it."""
        path = f"{paths.jobs(job['metadata']['namespace'])}?dryRun=All"
        return await self.call("POST", path, job)

    async def get_job(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Job."""
        return await self.call("GET", paths.jobs(namespace, name))

    async def set_job_ttl(self, namespace: str, name: str, seconds: int) -> None:
        """Let an ended Job be removed after some seconds."""
        change = {"spec": {"ttlSecondsAfterFinished": seconds}}
        async with self.lanes.low_priority():
            await self.call("PATCH", paths.jobs(namespace, name), change, content=MERGE_PATCH)

    async def patch_job_status(
        self, namespace: str, name: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Change fields of the status of a Job that Podium manages."""
        path = paths.jobs(namespace, name, "status")
        async with self.lanes.low_priority():
            return await self.call("PATCH", path, {"status": status}, content=MERGE_PATCH)

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete a Job and its Pods."""
        await self.delete(paths.jobs(namespace, name), uid)

    async def create_pod(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        """Create a Pod."""
        return await self.call("POST", paths.pods(pod["metadata"]["namespace"]), pod)

    async def get_pod(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Pod."""
        return await self.call("GET", paths.pods(namespace, name))

    async def read_log(self, namespace: str, name: str, container: str, most: int) -> bytes:
        """Return the beginning of what a container printed, somewhat more than `most` bytes."""
        return await self.content(paths.log(namespace, name, container, most), 4 * most)

    async def patch_pod(
        self, namespace: str, name: str, operations: list[dict[str, Any]], *, hurry: bool = False
    ) -> dict[str, Any]:
        """Change metadata of a Pod by JSON Patch; in a hurry, much of this waits."""
        async with self.lanes.low_priority(hurry=hurry):
            return await self.call(
                "PATCH", paths.pods(namespace, name), operations, content=JSON_PATCH
            )

    async def delete_pod(
        self,
        namespace: str,
        name: str,
        uid: str,
        *,
        version: str = "",
        force: bool = False,
        seconds: int | None = None,
    ) -> None:
        """Delete a Pod, with its grace period; by force: without waiting for its machine.

        Of this version only, if one is named; 409: it changed since. `seconds` is another grace
        period, which can only be shorter than that of an earlier deletion.
        """
        given = 0 if force else seconds
        grace = {} if given is None else {"gracePeriodSeconds": given}
        await self.delete(paths.pods(namespace, name), uid, version, **grace)

    # Claims

    async def create_claim(self, claim: Mapping[str, Any]) -> dict[str, Any]:
        """Create a PersistentVolumeClaim."""
        return await self.call("POST", paths.claims(claim["metadata"]["namespace"]), claim)

    async def get_claim(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a PersistentVolumeClaim."""
        return await self.call("GET", paths.claims(namespace, name))

    # What stands around them

    async def create_event(
        self, namespace: str, event: Mapping[str, Any], *, patient: bool = False
    ) -> None:
        """Post an Event; a patient one goes when the server has time."""
        async with self.lanes.event(patient=patient):
            await self.call("POST", paths.path_of("/api/v1", namespace, "events"), event)

    async def list_events(self, namespace: str, uid: str) -> list[dict[str, Any]]:
        """Return what the Events of an object say; of very many, or very large ones, the first.

        Users may write as many as they like, about whatever they like.
        """
        path = paths.path_of("/api/v1", namespace, "events")
        found: list[dict[str, Any]] = []
        pages = 0
        async for page in self.pages(path, fieldSelector=f"involvedObject.uid={uid}"):
            found += map(_what_is_said, page)
            pages += 1
            if pages == EVENT_PAGES:
                break
        return found

    async def get_service_account(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a ServiceAccount."""
        return await self.call("GET", paths.core(namespace, "serviceaccounts", name))

    async def get_metadata(self, namespace: str, plural: str, name: str) -> dict[str, Any]:
        """Return the metadata of a Secret or ConfigMap: what it holds stays on the server."""
        path = paths.core(namespace, plural, name)
        body, _ = await self.exchange("GET", path, accept=METADATA)
        return {"metadata": body.get("metadata")}

    async def get_lease(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Lease."""
        return await self.call("GET", paths.leases(namespace, name))

    async def create_lease(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Create a Lease."""
        return await self.call("POST", paths.leases(lease["metadata"]["namespace"]), lease)

    async def replace_lease(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Replace a Lease, if its resourceVersion is still the current one."""
        meta = lease["metadata"]
        return await self.call("PUT", paths.leases(meta["namespace"], meta["name"]), lease)

    async def get_deployment(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Deployment."""
        return await self.call(
            "GET", paths.path_of("/apis/apps/v1", namespace, "deployments", name)
        )

    async def scale_deployment(self, namespace: str, name: str, replicas: int) -> None:
        """Change how many Pods a Deployment has."""
        path = paths.path_of("/apis/apps/v1", namespace, "deployments", name, "scale")
        await self.call("PATCH", path, {"spec": {"replicas": replicas}}, content=MERGE_PATCH)

    async def get_revision(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a ControllerRevision."""
        return await self.call("GET", paths.revisions(namespace, name))

    async def create_revision(self, namespace: str, revision: Mapping[str, Any]) -> dict[str, Any]:
        """Create a ControllerRevision."""
        return await self.call("POST", paths.revisions(namespace), revision)

    def list_revisions(self, namespace: str, selector: str) -> AsyncIterator[list[dict[str, Any]]]:
        """Give pages of the ControllerRevisions with these labels, without what they hold.

        Of one namespace or (empty) of all.
        """
        path = paths.revisions(namespace) if namespace else "/apis/apps/v1/controllerrevisions"
        return self.pages(path, METADATA_LIST, labelSelector=selector)

    async def run_uids(
        self, namespace: str, *, only_active: bool = False
    ) -> AsyncIterator[tuple[str, str]]:
        """Give namespace and UID of each run, of one namespace or (empty) of all.

        So it does of runs whose artifacts another one has copied, whether they are there or not.
        `only_active`: of those that have not ended; 400: the server cannot tell them.
        """
        path = f"/apis/{GROUP}/{VERSION}/workflowruns"
        path = paths.own(namespace, "workflowruns") if namespace else path
        ended = ",".join(f"status.phase!={phase}" for phase in RunPhase if phase.ended)
        query: Any = {"fieldSelector": ended} if only_active else {}
        column = None
        async for page in self.tables(path, **query):
            names = [text(dig(each, "name")) for each in items(page.get("columnDefinitions"))]
            if names:  # the first page alone may have them
                column = names.index(ARTIFACTS_OF) if ARTIFACTS_OF in names else None
            for row in items(page.get("rows")):
                meta = row["object"]["metadata"]
                copied = row["cells"][column] if column is not None else None
                for uid in (meta["uid"], *(copied.split(",") if copied else ())):
                    yield meta["namespace"], uid

    def list_shards(self, namespace: str) -> AsyncIterator[list[dict[str, Any]]]:
        """Give pages of WorkflowRunNodes, of one namespace or (empty) of all, without states."""
        path = f"/apis/{GROUP}/{VERSION}/workflowrunnodes"
        path = paths.own(namespace, "workflowrunnodes") if namespace else path
        return self.pages(path, METADATA_LIST)

    async def delete_revision(self, namespace: str, name: str, uid: str) -> None:
        """Delete a ControllerRevision."""
        await self.delete(paths.revisions(namespace, name), uid)


def _what_is_said(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is needed of an Event."""
    said = {name: event.get(name) for name in _EVENT_FIELDS}
    return {**said, "message": text(event.get("message"))[:EVENT_CHARACTERS]}
