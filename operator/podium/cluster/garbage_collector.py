"""What is done now and then: Jobs, definitions and node states that are over are removed."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from podium.api.names import API_VERSION, GROUP, LABEL_WORKFLOW, label_value
from podium.api.retention import EndedRun, no_longer_kept
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import (
    JobView,
    RunView,
    controller_of,
    dig,
    items,
    mapping,
    text,
    when,
)
from podium.cluster.runs.child_objects import has_parent
from podium.cluster.runs.requests import ACCEPTED
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache, RunKey

__all__ = ["GarbageCollector"]

log = logging.getLogger(__name__)

TICK_SECONDS = 5.0
"""How soon definitions go whose run or Workflow was deleted."""
JOBS_SECONDS = 30.0
ALL_SECONDS = 600.0
"""How often everything is looked at, also what an earlier operator left."""
YOUNG_SECONDS = 20.0
"""A definition that is so young may be about to be named by a run."""
STRAY_SECONDS = 300.0
"""Node states that are so old are named by a status, or by none ever."""
MANAGED_BY = "app.kubernetes.io/managed-by"
RUNS_AT_A_TIME = 500
"""Runs that are deleted in one round: everything else here waits for it."""
KEPT_REVISIONS = 10
"""Newest revisions of a Workflow that stay although no run refers to them."""


class _Revision(NamedTuple):
    """What is kept of a definition while it is looked at."""

    namespace: str
    workflow: str
    """A label value."""
    name: str
    uid: str
    created: float


def _revision(body: Mapping[str, Any]) -> _Revision:
    meta = mapping(body.get("metadata"))
    namespace, name, uid = (text(meta.get(key)) for key in ("namespace", "name", "uid"))
    workflow = text(dig(meta, "labels", LABEL_WORKFLOW))
    return _Revision(namespace, workflow, name, uid, when(meta.get("creationTimestamp")) or 0.0)


async def _unless_refused(request: Awaitable[None]) -> None:
    """Delete one object; one that stays must not keep the others. Raises `ApiError`.

    It is gone, has changed (the next round looks again), or a policy keeps it.
    """
    try:
        await request
    except ApiError as error:
        if error.status in (403, 422):
            log.warning("housekeeping: %s", error)
        elif error.status not in (404, 409):
            raise


class GarbageCollector:
    """Removes what is no longer needed."""

    def __init__(
        self,
        client: KubernetesClient,
        cache: InformerCache,
        settings: Settings,
        freed: set[str],
        is_needed: Callable[[str, str], bool] = lambda *_: False,
    ) -> None:
        """`freed` are namespaces in which a run or a Workflow was deleted.

        `is_needed` returns whether a run may be about to name a revision of a namespace.
        """
        self._client = client
        self._cache = cache
        self._settings = settings
        self._freed = freed
        self._is_needed = is_needed
        self._checked: dict[str, str] = {}
        """Versions of ended runs, by UID, none of whose node states are left over."""

    async def run(self) -> None:
        """Look after Jobs, revisions and node states, until cancelled."""
        rounds = 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            rounds += 1
            try:
                if rounds % int(JOBS_SECONDS / TICK_SECONDS) == 0:
                    await self.remove_jobs()
                    await self.remove_runs()
                # Soon after the start, too: an earlier operator may have been away for long.
                if rounds % int(ALL_SECONDS / TICK_SECONDS) == int(JOBS_SECONDS / TICK_SECONDS):
                    for namespace in self._settings.namespaces or [""]:
                        await self.remove_revisions(namespace)
                        await self.remove_shards(namespace)
                await self._remove_freed()
            except ApiError as error:
                log.warning("housekeeping: %s", error)
            except Exception:  # nothing here is worth ending the operator for
                log.exception("housekeeping")

    async def remove_jobs(self) -> None:
        """Delete ended Jobs whose time is over, and the oldest where there are too many.

        Only Jobs whose outcome is recorded: those that Podium ended, and those with a TTL.
        """
        ended: dict[str, list[JobView]] = defaultdict(list)
        now = time.time()
        # Copies: both change while requests are waited for.
        for run in list(self._cache.runs.values()):
            for job in list(self._cache.jobs(run.namespace, run.uid).values()):
                if not job.ended or job.deleting or not (job.managed_by or job.has_ttl):
                    continue
                over = (job.ended_at or now) + self._settings.jobs.ttl(succeeded=job.complete)
                if job.managed_by and not job.has_ttl and over <= now:
                    await _unless_refused(self._client.delete_job(job.namespace, job.name, job.uid))
                else:
                    ended[job.namespace].append(job)
        for jobs in ended.values():
            jobs.sort(key=lambda job: job.created_at, reverse=True)
            for job in jobs[self._settings.jobs.max_ended :]:
                await _unless_refused(self._client.delete_job(job.namespace, job.name, job.uid))

    async def remove_runs(self) -> None:
        """Delete the ended runs that their Workflow does not keep any longer."""
        workflows = {
            key: workflow
            for key, workflow in self._cache.workflows.items()
            if workflow.retention is not None
        }
        if not workflows:
            return
        # A run names its Workflow by its name or its id; a name comes first.
        by_id = {(view.namespace, view.id): view for view in workflows.values() if view.id}
        named = by_id | workflows
        ended: dict[RunKey, list[EndedRun[RunView]]] = defaultdict(list)
        for run in self._cache.runs.values():
            workflow = named.get((run.namespace, run.workflow))
            # One of which only the metadata is as it is now may have been reopened.
            if workflow is None or not run.ended or run.completed_at is None or not run.is_whole:
                continue
            if run.deleting or ACCEPTED in run.annotations or has_parent(self._cache, run):
                continue
            each = EndedRun(run, run.phase == "Succeeded", run.completed_at, run.ttl is not None)
            ended[workflow.namespace, workflow.name].append(each)
        now = time.time()
        over = [
            each.key
            for key, runs in ended.items()
            if (retention := workflows[key].retention) is not None
            for each in no_longer_kept(retention, runs, now)
        ]
        for run in over[:RUNS_AT_A_TIME]:
            await _unless_refused(
                self._client.delete_run(run.namespace, run.name, run.uid, run.version)
            )

    async def _remove_freed(self) -> None:
        """Look at the definitions of namespaces in which a run or a Workflow was deleted."""
        for namespace in list(self._freed):
            self._freed.discard(namespace)
            if await self.remove_revisions(namespace):
                self._freed.add(namespace)  # some are too young yet

    async def remove_revisions(self, namespace: str) -> bool:
        """Delete definitions that no run names; return whether some are too young for that.

        Of a Workflow that is there the newest ones stay. `namespace` is empty for all.
        """
        found: dict[tuple[str, str], list[_Revision]] = defaultdict(list)
        selector = f"{GROUP}/pinned=true,{MANAGED_BY}=podium"
        async for page in self._client.list_revisions(namespace, selector):
            for body in page:
                each = _revision(body)
                found[each.namespace, each.workflow].append(each)
        if not found:
            return False
        used = {
            (run.namespace, revision)
            for run in self._cache.runs.values()
            if namespace in ("", run.namespace)
            for revision in (run.revision, *run.former_revisions)
        }
        # What a run names that was never read is not known.
        unknown = {run.namespace for run in self._cache.runs.values() if not run.is_known}
        there = {(where, label_value(name)) for where, name in self._cache.workflows}
        waits = False
        for workflow, revisions in found.items():
            revisions.sort(key=lambda each: each.created, reverse=True)
            for each in revisions[KEPT_REVISIONS if workflow in there else 0 :]:
                if (each.namespace, each.name) in used:
                    continue
                is_young = time.time() - each.created < YOUNG_SECONDS
                is_unclear = each.namespace in unknown
                if is_young or is_unclear or self._is_needed(each.namespace, each.name):
                    waits = True
                    continue
                await _unless_refused(
                    self._client.delete_revision(each.namespace, each.name, each.uid)
                )
        return waits

    async def remove_shards(self, namespace: str) -> None:
        """Delete node states that no run's status names. `namespace` is empty for all.

        Those of a run that does not exist are the server's to delete.
        """
        strays: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        async for page in self._client.list_shards(namespace):
            for body in page:
                meta = mapping(body.get("metadata"))
                age = time.time() - (when(meta.get("creationTimestamp")) or 0.0)
                if age < STRAY_SECONDS or meta.get("deletionTimestamp") is not None:
                    continue
                owner = controller_of(body, "WorkflowRun", API_VERSION) or ""
                shard = text(meta.get("name")), text(meta.get("uid"))
                strays[text(meta.get("namespace")), owner].append(shard)
        for (where, owner), shards in strays.items():
            key = self._cache.keys.get(owner)
            run = self._cache.runs.get(key) if key is not None and key[0] == where else None
            named = await self._named_shards(run) if run is not None else None
            if not owner:
                named = set()
            if named is None:
                continue
            for name, uid in shards:
                if name not in named:
                    await _unless_refused(self._client.delete_run_nodes(where, name, uid))
        self._checked = {u: v for u, v in self._checked.items() if u in self._cache.keys}

    async def _named_shards(self, run: RunView) -> set[str] | None:
        """Return the shards that the status of a run names; None: they are looked after.

        Those of a run that goes on are, by what writes them.
        """
        if not run.ended or self._checked.get(run.uid) == run.version:
            return None
        body = await self._client.get_run(run.namespace, run.name)
        if dig(body, "metadata", "resourceVersion") != run.version:
            return None
        self._checked[run.uid] = run.version
        return {text(each.get("name")) for each in items(dig(body, "status", "shards"))}
