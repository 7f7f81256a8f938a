"""Runs of a cluster, as verbs have them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from podium.api.child_runs import LABEL_PARENT
from podium.api.names import GROUP, LABEL_RUN_UID, VERSION, is_object_name
from podium.api.run import WorkflowRunStatus
from podium.cli.cluster.connection import Cluster
from podium.cli.options import LATEST
from podium.cli.output import CliError
from podium.cluster.kube import paths
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import dig, items, mapping, text, when
from podium.cluster.runs.shard_objects import MissingShardsError, join_nodes
from podium.engine import load_status

__all__ = ["ClusterRun", "RunRow", "changes", "list_rows", "name_of", "read_run"]

TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
PAGE = 500
TRIES = 3
"""A large run's shards may be replaced between the requests for its status and for them."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as the server lists it."""

    namespace: str
    name: str
    created_at: float
    cells: Mapping[str, str]
    """By column: those that kubectl shows."""


@dataclass(frozen=True)
class ClusterRun:
    """A run that was read, with the states of all its nodes."""

    document: dict[str, Any]
    status: WorkflowRunStatus

    @property
    def name(self) -> str:
        """Its name."""
        return text(dig(self.document, "metadata", "name"))

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return text(dig(self.document, "metadata", "namespace"))

    @property
    def uid(self) -> str:
        """Its UID."""
        return text(dig(self.document, "metadata", "uid"))

    @property
    def workflow_id(self) -> str:
        """Its workflow, as the server lists it."""
        return text(dig(self.document, "status", "workflow"))

    @property
    def created_at(self) -> float:
        """When it was created, in seconds since 1970."""
        return when(dig(self.document, "metadata", "creationTimestamp")) or 0.0

    @property
    def phase(self) -> str:
        """Its phase."""
        return self.status.phase.value


async def name_of(cluster: Cluster, name: str) -> str:
    """Return a run's name; `@latest` is the newest root run. Raises `CliError`."""
    if name == LATEST:
        newest = max(
            [row async for row in list_rows(cluster, f"!{LABEL_PARENT}")],
            key=lambda row: (row.created_at, row.name),
            default=None,
        )
        if newest is None:
            raise CliError(f"there are no runs in namespace {cluster.namespace}")
        return newest.name
    if not is_object_name(name):
        raise CliError(
            f"{name!r:.80} is not a valid name of a run: lower-case letters, digits, - and ."
            f" between them, 253 characters at most, or {LATEST}"
        )
    return name


async def list_rows(cluster: Cluster, selector: str = "") -> AsyncIterator[RunRow]:
    """Give the runs as the server lists them, which reads none of what they hold."""
    base = f"/apis/{GROUP}/{VERSION}"
    everywhere = f"{base}/workflowruns"
    path = paths.own(cluster.namespace, "workflowruns") if cluster.namespace else everywhere
    more = ""
    while True:
        query = {"limit": str(PAGE), "includeObject": "Metadata", "labelSelector": selector}
        asked = urlencode(query | ({"continue": more} if more else {}))
        page, _ = await cluster.client.exchange("GET", f"{path}?{asked}", accept=TABLE)
        columns = [text(each.get("name")) for each in items(page.get("columnDefinitions"))]
        for row in items(page.get("rows")):
            cells = ["" if cell is None else str(cell) for cell in row.get("cells") or ()]
            metadata = mapping(dig(row, "object", "metadata"))
            yield RunRow(
                text(metadata.get("namespace")),
                text(metadata.get("name")),
                when(metadata.get("creationTimestamp")) or 0.0,
                dict(zip(columns, cells, strict=False)),
            )
        more = text(dig(page, "metadata", "continue"))
        if not more:
            return


async def read_run(cluster: Cluster, name: str) -> ClusterRun:
    """Read a run and the states of its nodes. Raises `CliError`, `ApiError`."""
    missing = ""
    for _ in range(TRIES):
        try:
            document = await cluster.client.get_run(cluster.namespace, name)
        except ApiError as error:
            if error.status != 404:
                raise
            raise CliError(f"there is no run {name} in namespace {cluster.namespace}") from None
        status = mapping(document.get("status"))
        uid = text(dig(document, "metadata", "uid"))
        shards = []
        if status.get("shards"):
            selector = f"{LABEL_RUN_UID}={uid}"
            shards = await cluster.client.list_run_nodes(cluster.namespace, selector)
        try:
            nodes, _ = join_nodes(status, shards, uid)
        except MissingShardsError as error:
            missing = str(error)
            continue
        # The operator may not have seen it so far.
        stored = {"phase": "Pending", **status, "nodes": nodes}
        document = {**document, "status": stored}
        stored.pop("shards", None)
        try:
            return ClusterRun(document, load_status(stored))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = " ".join(str(error).split())
            raise CliError(f"the status of run {name} cannot be read: {what:.200}") from None
    raise CliError(
        f"the states of the nodes of run {name} are being replaced, or were changed: try again"
        f" (WorkflowRunNodes {missing:.200})"
    )


async def changes(cluster: Cluster, name: str, pause: float = 0.0) -> AsyncIterator[ClusterRun]:
    """Give a run now and after each change, until the caller has seen enough.

    Changes within `pause` seconds come as one. Raises `CliError` once it is deleted.
    """
    while True:
        run = await read_run(cluster, name)
        yield run
        await asyncio.sleep(pause)
        version = text(dig(run.document, "metadata", "resourceVersion"))
        where = ("workflowruns", cluster.namespace, "", version, f"metadata.name={name}")
        try:
            async with aclosing(cluster.client.watch(*where)) as events:
                async for event in events:
                    if event.get("type") == "DELETED":
                        raise CliError(f"run {name} was deleted")
                    if event.get("type") in ("MODIFIED", "ADDED"):
                        break
        except ApiError as error:
            if error.status not in (0, 410):
                raise
