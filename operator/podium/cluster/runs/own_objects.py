"""Which Jobs and Pods count for a run: those that Podium made for it, whatever others say."""

from podium.cluster.jobs.builder import is_job_name, is_pod_name
from podium.cluster.kube.views import JobView, PodView
from podium.cluster.runs.active_run import ActiveRun, Execution
from podium.cluster.watch.store import Cache

__all__ = ["OwnObjects"]


class OwnObjects:
    """Tells a run's own Jobs and Pods from others."""

    def __init__(self, cache: Cache, manager: str) -> None:
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
        if not is_job_name(name, run.owner.name, run.owner.uid, job.execution, job.restart):
            return None
        state = run.engine.status.nodes.get(job.node)
        is_recorded = (
            state is not None
            and state.execution_id == job.execution
            and state.job_uid in (None, job.uid)  # None: of version 0.1.0
        )
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

    def pods(self, run: ActiveRun, name: str) -> list[PodView]:
        """Return the Pods of a Job that count, by the Job's name; they may outlive it.

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
        if job is not None and job.managed_by:
            manages = job.managed_by == self._manager
            return [p for p in pods if is_pod_name(p.name, job.name, uid) or not manages]
        if job is not None and self._cache.job(uid) is not None:
            return pods  # the built-in controller names them
        named = [pod for pod in pods if is_pod_name(pod.name, name, uid)]
        return named or pods
