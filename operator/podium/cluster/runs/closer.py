"""Jobs and Pods of a run brought to their end, once the run's status says how that was."""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from typing import Any

from podium.api.run import NodeState
from podium.cluster.jobs.controller import ManagedJobController
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.views import GRACE_SECONDS, INDEXED, ITEM, JobView, PodView, RunView, dig
from podium.cluster.runs.active_run import ActiveRun, AfterWrite
from podium.cluster.runs.child_objects import has_parent
from podium.cluster.runs.item_objects import outcome_of
from podium.cluster.runs.map_progress import carry_out_maps, progress_of
from podium.cluster.runs.shard_objects import MissingShardsError
from podium.cluster.runs.shards import read_nodes
from podium.cluster.watch.store import InformerCache
from podium.engine import load_status

__all__ = ["JobCloser"]


class JobCloser:
    """Stops, removes and closes what a status has decided on."""

    def __init__(
        self, client: KubernetesClient, cache: InformerCache, jobs: ManagedJobController
    ) -> None:
        self._client = client
        self._cache = cache
        self._jobs = jobs

    async def apply_after_write(self, run: ActiveRun, work: AfterWrite) -> None:
        """Stop what is to stop, remove what never ends, release what is recorded."""
        remove = set(work.remove)
        for stop in work.stops:
            run.stopping.add((stop.node, stop.execution_id))
            # A launch of it that is under way adds its Job when it is answered.
            remove.update(run.jobs_of.get(stop.execution_id, ()))
        requests: list[Coroutine[Any, Any, None]] = []
        for name in remove:
            job = self._cache.jobs(run.owner.namespace, run.owner.uid).get(name)
            if job is not None and job.shape == ITEM:
                self._jobs.set_outcome(job, succeeded=False)  # its Pod alone ends
            elif job is not None and not job.deleting:
                requests.append(self._client.delete_job(job.namespace, job.name, job.uid))
        slow: list[Coroutine[Any, Any, None]] = []
        for name in remove | work.remove_pods:
            execution = run.executions.get(name)
            for pod in self._cache.pods(execution.uid) if execution is not None else ():
                is_ours = pod.namespace == run.owner.namespace
                if pod.alive and pod.delete_asked_at is None and is_ours:
                    (slow if pod.collects else requests).append(self._delete_pod(pod))
        # Before their Jobs: what is deleted with these has the Pod's own grace period.
        await asyncio.gather(*slow)
        for name, succeeded in work.outcomes.items():
            job = self._cache.jobs(run.owner.namespace, run.owner.uid).get(name)
            if job is not None and not job.deleting and name not in remove:
                self._jobs.set_outcome(job, succeeded=succeeded)
                if job.shape == ITEM:
                    run.forget(name)
        over = carry_out_maps(run, work, self._cache, self._jobs)
        requests += [self._client.delete_job(job.namespace, job.name, job.uid) for job in over]
        for pod in work.disrupted_pods:
            self._jobs.release_disrupted(pod)
        await asyncio.gather(*requests)

    async def _delete_pod(self, pod: PodView) -> None:
        """Delete a Pod whose end is decided: nothing that it leaves is waited for."""
        if pod.collects:
            where = pod.namespace, pod.name, pod.uid
            await self._client.delete_pod(*where, seconds=GRACE_SECONDS)
        else:
            await self._client.delete_pod(pod.namespace, pod.name, pod.uid)

    def finish_recorded_job(self, job: JobView, states: Mapping[str, NodeState]) -> bool:
        """Finish a managed Job whose outcome was persisted, but never written to its own status.

        An operator that ends before the server took that write leaves no other trace. Returns
        whether it was so.
        """
        if not job.managed_by or job.ended or job.deleting:
            return False
        succeeded = outcome_of(job, states)
        if succeeded is None or any(pod.program_alive for pod in self._cache.pods(job.uid)):
            return False
        if job.shape == INDEXED and (progress := progress_of(states[job.node])) is not None:
            self._jobs.set_progress(job, progress)
        self._jobs.set_outcome(job, succeeded=succeeded)
        return True

    async def close_ended_run(self, view: RunView) -> float | None:
        """Clean up after a run that ended; return the seconds after which it is to be deleted."""
        if not view.ended:
            return None
        await self._close_jobs(view)
        if view.ttl is None or view.completed_at is None or has_parent(self._cache, view):
            return None
        left = view.completed_at + view.ttl - time.time()
        if left <= 0:
            await self._client.delete_run(view.namespace, view.name, view.uid, view.version)
            return None
        return left

    async def _close_jobs(self, view: RunView) -> None:
        """Finish or delete the Jobs of a run that ended, perhaps under an earlier operator."""
        states: dict[str, NodeState] | None = None
        for job in list(self._cache.jobs(view.namespace, view.uid).values()):
            if not self._is_left(job):
                continue
            if states is None:
                # The view may be older than a re-run: ask before anything is closed or deleted.
                live = await self._client.get_run(view.namespace, view.name)
                if dig(live, "metadata", "resourceVersion") != view.version:
                    return  # it comes again, as it is now
                states = await self._states(live)
            await self._close(job, states)

    def _is_left(self, job: JobView) -> bool:
        """Return whether a Job of an ended run is still to be finished or deleted."""
        if job.deleting or self._jobs.has_pending_outcome(job) or self._jobs.is_done(job):
            return False
        pods = self._cache.pods(job.uid)
        return job.ended or not pods or any(pod.alive or not pod.gone for pod in pods)

    async def _close(self, job: JobView, states: Mapping[str, NodeState]) -> None:
        pods = self._cache.pods(job.uid)
        if self.finish_recorded_job(job, states):
            for pod in pods:
                if pod.outlived and pod.delete_asked_at is None:
                    await self._delete_pod(pod)
            return
        if job.ended or any(not pod.alive and not pod.gone for pod in pods):
            succeeded = outcome_of(job, states)
            if succeeded is None:
                succeeded = job.complete or any(pod.phase == "Succeeded" for pod in pods)
            self._jobs.set_outcome(job, succeeded=succeeded)
            return
        if job.shape != ITEM:  # which goes with its Job
            await self._client.delete_job(job.namespace, job.name, job.uid)

    async def _states(self, body: dict[str, Any]) -> dict[str, NodeState]:
        meta, status = body["metadata"], body.get("status") or {}
        where = meta["namespace"], meta["name"], meta["uid"]
        try:
            nodes, _ = await read_nodes(self._client, *where, status)
            return load_status({**status, "nodes": nodes}).nodes
        except (ValueError, MissingShardsError):  # a user wrote into it, or deleted it
            return {}
