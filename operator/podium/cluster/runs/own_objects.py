"""Which Jobs and Pods count for a run: those that Podium made for it, whatever others say."""

from collections.abc import Mapping
from typing import Any

from podium.api.run import NodeStatus
from podium.cluster.jobs.builder import is_job_name, is_pod_name
from podium.cluster.kube.views import INDEXED, ITEM, JobView, PodView, dig, text
from podium.cluster.runs.active_run import ActiveRun, Execution
from podium.cluster.runs.item_objects import (
    is_item_job,
    is_item_pod,
    is_recorded_item,
    note_map_job,
)
from podium.cluster.watch.store import InformerCache
from podium.engine import Launch

__all__ = ["OwnObjects"]


class OwnObjects:
    """Tells a run's own Jobs and Pods from others."""

    def __init__(self, cache: InformerCache, manager: str) -> None:
        self._cache = cache
        self._manager = manager

    def execution(self, run: ActiveRun, name: str) -> Execution | None:
        """Return what a Job runs, if its name says the same as its annotations.

        It counts if the status records its UID; a launch may find that it is the run's own.
        """
        known = run.executions.get(name)
        job = self._cache.jobs(run.owner.namespace, run.owner.uid).get(name)
        if job is None or (known is not None and (known.is_ours or known.uid == job.uid)):
            return known
        if job.shape == INDEXED:
            return None  # its items are what runs
        if job.shape == ITEM:
            if not is_item_job(run, job):
                return None
            if is_recorded_item(job, run.engine.status.nodes) is not None:
                if all(pod.gone for pod in self._cache.pods(job.uid)):
                    self._cache.drop_item(job.uid)  # late news of it brought it back
                return None
        elif not is_job_name(name, run.owner.name, run.owner.uid, job.execution, job.restart):
            return None
        state = run.engine.status.nodes.get(job.node)
        is_recorded = (
            state is not None
            and state.execution_id == job.execution
            and state.job_uid in (None, job.uid)  # None: of version 0.1.0
        )
        if is_recorded and job.shape == ITEM:
            note_map_job(run, job)
        execution = Execution(job.node, job.execution, job.restart, job.uid, is_ours=is_recorded)
        run.add(name, execution)
        return execution

    @staticmethod
    def names(run: ActiveRun, execution_id: str) -> list[str]:
        """Return the names of an execution's Jobs that count."""
        names = run.jobs_of.get(execution_id, [])
        return [name for name in names if run.executions[name].is_ours]

    def job(self, run: ActiveRun, name: str) -> JobView | None:
        """Return the Job of an execution; another one of that name is not it."""
        job = self._cache.jobs(run.owner.namespace, run.owner.uid).get(name)
        execution = run.executions.get(name)
        if job is None or execution is None or execution.uid not in ("", job.uid):
            return None
        return job

    def deciding_pods(self, run: ActiveRun, name: str) -> list[PodView]:
        """Return the Pods of a Job that decide how its execution ends.

        Where Podium makes them, these are the one that the status records and those that this
        operator made: whoever may create Pods can copy owner and name of one. While a status
        records none, the built-in controller makes them.
        """
        pods = self.pods(run, name)
        execution = run.executions.get(name)
        if execution is None or not pods:
            return pods
        recorded = _recorded_pod(run, execution.node, execution.id)
        job = self._cache.last_job(execution.uid)
        if recorded is None and (job is None or job.managed_by != self._manager):
            return pods
        return [pod for pod in pods if pod.uid == recorded or self._cache.is_own_pod(pod.uid)]

    def is_own_pod(self, run: ActiveRun, launch: Launch, body: Mapping[str, Any]) -> bool:
        """Return whether a Pod is known as one that Podium made for an execution."""
        uid = text(dig(body, "metadata", "uid"))
        recorded = _recorded_pod(run, launch.node, launch.execution_id)
        return recorded == uid or self._cache.is_own_pod(uid)

    def take_up_unrecorded_pods(self, run: ActiveRun, name: str) -> None:
        """Have the Pods of a Job decide whose status an earlier version wrote: it records none.

        Of any other run, one that is not recorded yet is looked at as closely as any.
        """
        if run.engine.status.format_version is not None:
            return
        execution = run.executions.get(name)
        job = self.job(run, name)
        if execution is None or not execution.is_ours or job is None or job.suspended:
            return  # of a suspended one none was made yet, or it is gone
        state = run.engine.status.nodes.get(execution.node)
        if (
            state is not None
            and state.status is NodeStatus.RUNNING
            and (state.execution_id, state.pod_uid) == (execution.id, None)
        ):
            for pod in self.pods(run, name):
                self._cache.mark_own_pod(pod.uid)

    def pods(self, run: ActiveRun, name: str) -> list[PodView]:
        """Return the Pods that may be of a Job, by the Job's name; they may outlive it.

        They stand in the run's namespace, say that they are of this very Job, and are named as
        Podium names them, where it makes them. A label counts only once the Job is gone.
        """
        execution = run.executions.get(name)
        if execution is None or not execution.uid:
            return []
        namespace, uid = run.owner.namespace, execution.uid
        pods = [
            pod
            for pod in self._cache.pods(uid)
            if pod.namespace == namespace and pod.uid not in run.set_aside
        ]
        if not pods:
            return []
        if self._cache.job(uid) is not None:
            pods = [pod for pod in pods if not pod.by_label]
        job = self._cache.last_job(uid)
        if job is not None and job.shape == ITEM:
            return [pod for pod in pods if is_item_pod(pod, job)]
        if job is not None and job.managed_by:
            manages = job.managed_by == self._manager
            return [p for p in pods if is_pod_name(p.name, job.name, uid) or not manages]
        if job is not None and self._cache.job(uid) is not None:
            return pods  # the built-in controller names them
        named = [pod for pod in pods if is_pod_name(pod.name, name, uid)]
        return named or pods


def _recorded_pod(run: ActiveRun, node: str, execution: str) -> str | None:
    """Return the UID of the Pod that the status records for an execution."""
    state = run.engine.status.nodes.get(node)
    return state.pod_uid if state is not None and state.execution_id == execution else None
