"""What the watches said last, by run.

A hint: before anything is decided by what is missing here, the server is asked.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from podium.cluster.views import (
    JobView,
    PodView,
    RunView,
    WorkflowView,
    job_view,
    pod_view,
    run_view,
    workflow_view,
)

__all__ = ["Cache", "RunKey"]

RunKey = tuple[str, str]
"""Namespace and name."""


class Cache:
    """Runs, Workflows, and the Jobs and Pods of runs."""

    def __init__(self) -> None:
        self.runs: dict[RunKey, RunView] = {}
        self.keys: dict[str, RunKey] = {}
        """Runs by UID."""
        self.workflows: dict[RunKey, WorkflowView] = {}
        self._jobs: dict[str, dict[str, JobView]] = {}
        """By UID of the run, then by name."""
        self._job_of: dict[str, JobView] = {}
        """By the Job's own UID; kept after its end while a Pod of it is known."""
        self._pods: dict[str, dict[str, PodView]] = {}
        """By UID of the Job, then by their own."""
        self._job_of_pod: dict[str, str] = {}
        self.live: Counter[str] = Counter()
        """Jobs that have not ended, by namespace."""

    # Runs and Workflows

    def put_run(self, body: Any) -> RunView | None:
        """Take in a run; an older copy than the one known is passed over."""
        view = run_view(body)
        if view is None:
            return None
        key = (view.namespace, view.name)
        known = self.runs.get(key)
        if known is not None and _older(view.version, known.version):
            return known
        if known is not None and known.uid != view.uid:  # deleted and made again, unseen
            self.drop_run(key, known.uid)
        self.runs[key] = view
        self.keys[view.uid] = key
        return view

    def drop_run(self, key: RunKey, uid: str) -> None:
        """Forget a run that was deleted, and its Jobs."""
        known = self.runs.get(key)
        if known is not None and known.uid == uid:
            del self.runs[key]
        self.keys.pop(uid, None)
        for job in list(self._jobs.get(uid, {}).values()):
            self.drop_job(job)
        self._jobs.pop(uid, None)

    def put_workflow(self, body: Any) -> WorkflowView | None:
        """Take in a Workflow."""
        view = workflow_view(body)
        if view is not None:
            self.workflows[view.namespace, view.name] = view
        return view

    def find_workflow(self, namespace: str, reference: str) -> str | None:
        """Return the name of the Workflow that has this name or this id."""
        if (namespace, reference) in self.workflows:
            return reference
        for (where, name), view in self.workflows.items():
            if where == namespace and view.id == reference:
                return name
        return None

    # Jobs and Pods

    def put_job(self, body: Any) -> JobView | None:
        """Take in a Job of a run; None if it is none. An older copy is passed over."""
        view = job_view(body)
        if view is None:
            return None
        latest = self._job_of.get(view.uid)
        if latest is not None and _older(view.version, latest.version):
            return latest
        jobs = self._jobs.setdefault(view.run_uid, {})
        known = jobs.get(view.name)
        if known is not None and known.uid != view.uid:  # deleted and made again, unseen
            self.drop_job(known)
        elif known is not None:
            self._count(known, -1)
        self._count(view, +1)
        jobs[view.name] = view
        self._job_of[view.uid] = view
        return view

    def drop_job(self, view: JobView) -> None:
        """Forget a Job that was deleted; its Pods may live on."""
        jobs = self._jobs.get(view.run_uid, {})
        known = jobs.get(view.name)
        if known is not None and known.uid == view.uid:
            self._count(known, -1)
            del jobs[view.name]
        if not any(pod.alive for pod in self._pods.get(view.uid, {}).values()):
            self._forget(view.uid)

    def put_pod(self, body: Any) -> tuple[PodView, JobView | None] | None:
        """Take in a Pod; None if it belongs to no Job. An older copy is passed over.

        A Pod that was orphaned stays with the Job that it was made for.
        """
        view = pod_view(body)
        if view is None:
            return None
        pods = self._pods.setdefault(view.job_uid, {})
        known = pods.get(view.uid)
        if known is not None and _older(view.version, known.version):
            view = known
        else:
            pods[view.uid] = view
            self._job_of_pod[view.uid] = view.job_uid
        return view, self._job_of.get(view.job_uid)

    def lose_pod(self, uid: str) -> JobView | None:
        """Note that a Pod vanished; what it said last is kept as long as its Job."""
        job_uid = self._job_of_pod.pop(uid, None)
        if job_uid is None:
            return None
        pods = self._pods.get(job_uid, {})
        job = self._job_of.get(job_uid)
        if uid in pods:
            pods[uid] = replace(pods[uid], gone=True)
        known = job is not None and job.name in self._jobs.get(job.run_uid, {})
        if not known and not any(pod.alive for pod in pods.values()):
            self._forget(job_uid)
        return job

    def jobs(self, run_uid: str) -> dict[str, JobView]:
        """Return the Jobs of a run by name."""
        return self._jobs.get(run_uid, {})

    def pods(self, job_uid: str) -> list[PodView]:
        """Return the Pods of a Job, vanished ones included."""
        return list(self._pods.get(job_uid, {}).values())

    def relist(
        self,
        run_uid: str,
        before: Iterable[str],
        jobs: Iterable[Any],
        pods: Iterable[Any],
    ) -> None:
        """Take in what the server listed; `before` are UIDs known when the list was asked for.

        A watch that was down may have missed deletions: what was known then and is not listed is
        gone.
        """
        known = set(before)
        seen: set[str] = set()
        for body in jobs:
            view = job_view(body)
            if view is not None and view.run_uid == run_uid:
                seen.add(view.uid)
                if view.uid not in known or view.ended or view.deleting:
                    self.put_job(body)
        for body in pods:
            pod = pod_view(body)
            if pod is not None and self._job_of.get(pod.job_uid) is not None:
                seen.add(pod.uid)
                if pod.uid not in known or not pod.alive:
                    self.put_pod(body)
        for job in list(self.jobs(run_uid).values()):
            for view_ in self.pods(job.uid):
                if view_.uid in known and view_.uid not in seen and not view_.gone:
                    self.lose_pod(view_.uid)
            if job.uid in known and job.uid not in seen:
                self.drop_job(job)

    def known_uids(self, run_uid: str) -> list[str]:
        """Return the UIDs of the Jobs and Pods known of a run."""
        jobs = list(self.jobs(run_uid).values())
        return [uid for job in jobs for uid in (job.uid, *self._pods.get(job.uid, {}))]

    def _forget(self, job_uid: str) -> None:
        for pod in self._pods.pop(job_uid, {}):
            self._job_of_pod.pop(pod, None)
        self._job_of.pop(job_uid, None)

    def _count(self, job: JobView, by: int) -> None:
        if not job.ended:
            self.live[job.namespace] += by


def _older(version: str, than: str) -> bool:
    """Compare resourceVersions of one object; what is no number is never older."""
    return version.isdigit() and than.isdigit() and int(version) < int(than)
