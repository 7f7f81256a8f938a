"""What is done now and then: Jobs, definitions and runs that are over are removed or forgotten."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable

from podium.api.names import GROUP, LABEL_WORKFLOW
from podium.cluster.kube.client import Gateway
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import JobView, RunView, dig
from podium.cluster.settings import Settings
from podium.cluster.watch.store import Cache

__all__ = ["GarbageCollector"]

log = logging.getLogger(__name__)

JOBS_SECONDS = 30.0
REVISIONS_SECONDS = 600.0
KEPT_REVISIONS = 10
"""Newest revisions of a Workflow that stay although no run refers to them."""


class GarbageCollector:
    """Removes what is no longer needed."""

    def __init__(
        self,
        gateway: Gateway,
        cache: Cache,
        settings: Settings,
        gone: Callable[[RunView], None],
    ) -> None:
        """`gone` takes in that a run is not there any more."""
        self._gateway = gateway
        self._cache = cache
        self._settings = settings
        self._gone = gone

    async def run(self) -> None:
        """Look after Jobs, revisions and runs, until cancelled."""
        rounds = 0
        while True:
            await asyncio.sleep(JOBS_SECONDS)
            rounds += 1
            try:
                await self.remove_jobs()
                if rounds % int(REVISIONS_SECONDS / JOBS_SECONDS) == 0:
                    await self.remove_revisions()
                    await self.forget_runs()
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
                    await self._gateway.delete_job(job.namespace, job.name, job.uid)
                else:
                    ended[job.namespace].append(job)
        for jobs in ended.values():
            jobs.sort(key=lambda job: job.created_at, reverse=True)
            for job in jobs[self._settings.jobs.max_ended :]:
                await self._gateway.delete_job(job.namespace, job.name, job.uid)

    async def remove_revisions(self) -> None:
        """Delete definitions that no run needs, beyond the newest of each Workflow."""
        used = {
            (run.namespace, revision)
            for run in self._cache.runs.values()
            for revision in (run.revision, *run.former_revisions)
        }
        for namespace in {run.namespace for run in self._cache.runs.values()}:
            by_workflow: dict[str, list[dict[str, object]]] = defaultdict(list)
            for body in await self._gateway.list_revisions(namespace, f"{GROUP}/pinned=true"):
                by_workflow[str(dig(body, "metadata", "labels", LABEL_WORKFLOW))].append(body)
            for bodies in by_workflow.values():
                bodies.sort(
                    key=lambda body: str(dig(body, "metadata", "creationTimestamp")), reverse=True
                )
                for body in bodies[KEPT_REVISIONS:]:
                    name, uid = dig(body, "metadata", "name"), dig(body, "metadata", "uid")
                    if (namespace, name) not in used:
                        await self._gateway.delete_revision(namespace, str(name), str(uid))

    async def forget_runs(self) -> None:
        """Forget runs whose deletion was missed.

        After a watch that broke kopf lists again, and does not tell what that list no longer has.
        """
        for namespace in self._settings.namespaces or [""]:
            known = [
                run for run in self._cache.runs.values() if namespace in ("", run.namespace)
            ]  # before the list: what is made meanwhile may be missing in it
            there = await self._gateway.list_run_uids(namespace)
            for run in known:
                if run.uid not in there:
                    log.info("%s/%s was deleted, and the event was missed", run.namespace, run.name)
                    self._gone(run)
