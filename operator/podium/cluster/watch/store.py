"""Informer cache: runs, Jobs and Pods as they were last observed.

Advisory only: before anything is decided by what is missing here, the server is asked. Responses to
requests are taken in, too, and one may come after the watch reported that the object is gone: what
is known to be gone stays gone.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from podium.cluster.kube.views import (
    JobView,
    PodView,
    RunView,
    WorkflowView,
    dig,
    job_view,
    pod_view,
    run_view,
    text,
    workflow_view,
)
from podium.cluster.watch.run_counts import RunCounts, counts_as

__all__ = ["InformerCache", "RunKey"]

RunKey = tuple[str, str]
"""Namespace and name."""

TOMBSTONE_SECONDS = 60.0
"""Longer than any request takes."""


class InformerCache:
    """Runs, Workflows, and the Jobs and Pods of runs."""

    on_count: Callable[[str, str], None] = staticmethod(lambda *_: None)
    """Hears of the namespace and the Workflow of which another number of runs is active."""

    def __init__(self) -> None:
        self.runs: dict[RunKey, RunView] = {}
        self.keys: dict[str, RunKey] = {}
        """Runs by UID."""
        self.workflows: dict[RunKey, WorkflowView] = {}
        self._jobs: dict[tuple[str, str], dict[str, JobView]] = {}
        """By namespace and UID of the run, then by name: a Job of another namespace is none of
        its Jobs, whatever it says."""
        self._job_of: dict[str, JobView] = {}
        """By the Job's own UID; kept after its end while a Pod of it is known."""
        self._pods: dict[str, dict[str, PodView]] = {}
        """By UID of the Job, then by their own."""
        self._job_of_pod: dict[str, str] = {}
        self._own_pods: set[str] = set()
        """Pods that this operator made, or found to be what it would make."""
        self._suspend_deletions: set[str] = set()
        """Pods that end because their Job is suspended."""
        self._runs_counted = RunCounts()
        self.active_runs = self._runs_counted.active
        self.children = self._runs_counted.children
        self.live: Counter[str] = Counter()
        """Jobs that have not ended, by namespace."""
        self._tombstones: dict[str, float] = {}
        """When (monotonic) objects went, by UID, the first ones first."""

    def add_tombstone(self, body: Any) -> None:
        """Note that an object is gone for good: a copy of it that still comes is passed over."""
        uid, now = text(dig(body, "metadata", "uid")), time.monotonic()
        self._tombstones.pop(uid, None)
        self._tombstones[uid] = now
        while now - self._tombstones[oldest := next(iter(self._tombstones))] > TOMBSTONE_SECONDS:
            del self._tombstones[oldest]

    def is_tombstoned(self, uid: str) -> bool:
        """Return whether an object went a moment ago."""
        return uid in self._tombstones

    # Runs and Workflows

    def put_run(self, body: Any) -> RunView | None:
        """Take in a run; an older copy than the one known is passed over."""
        view = run_view(body)
        if view is None or view.uid in self._tombstones:
            return None
        key = (view.namespace, view.name)
        known = self.runs.get(key)
        if known is not None and _older(view.version, known.version):
            return known
        if known is not None and known.uid != view.uid:  # deleted and made again, unseen
            self.drop_run(key, known.uid)
        self._runs_counted.add(self.runs.get(key), -1)
        self._runs_counted.add(view, +1)
        self.runs[key] = view
        self.keys[view.uid] = key
        if counts_as(known) != counts_as(view):
            self.on_count(view.namespace, view.workflow)
        return view

    def note_run(self, body: Any) -> RunView | None:
        """Take in the metadata of a run, which is all that the watch shows; None: it is not new.

        What was known of the rest stays until it is read.
        """
        view = run_view(body)
        if view is None or view.uid in self._tombstones:
            return None
        key = (view.namespace, view.name)
        known = self.runs.get(key)
        if known is not None and known.uid != view.uid:  # deleted and made again, unseen
            self.drop_run(key, known.uid)
            known = None
        if known is None:
            view = replace(view, is_whole=False)
        elif view.version == known.version:
            return known  # our own change, whose answer came first
        elif _older(view.version, known.version):
            return None
        else:
            view = replace(
                known,
                version=view.version,
                generation=view.generation,
                annotations=view.annotations,
                deleting=view.deleting,
                is_whole=False,
            )
        self._runs_counted.add(known, -1)
        self._runs_counted.add(view, +1)
        self.runs[key] = view
        self.keys[view.uid] = key
        return view

    def drop_run(self, key: RunKey, uid: str) -> None:
        """Forget a run that was deleted, and its Jobs."""
        known = self.runs.get(key)
        if known is not None and known.uid == uid:
            self._runs_counted.add(known, -1)
            del self.runs[key]
        self.keys.pop(uid, None)
        for job in list(self.jobs(key[0], uid).values()):
            self.drop_job(job)
        self._jobs.pop((key[0], uid), None)

    def put_workflow(self, body: Any) -> WorkflowView | None:
        """Take in a Workflow, or its metadata: then what was known of the rest stays."""
        view = workflow_view(body)
        if view is None:
            return None
        known = self.workflows.get((view.namespace, view.name))
        if not view.is_known and known is not None and known.uid == view.uid:
            view = replace(known, generation=view.generation)
        self.workflows[view.namespace, view.name] = view
        return view

    def unknown_workflows(self, namespace: str) -> list[str]:
        """Return the names of Workflows whose id is not known yet."""
        return [
            name
            for (where, name), view in self.workflows.items()
            if where == namespace and not view.is_known
        ]

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
        if view is None or view.uid in self._tombstones:
            return None
        latest = self._job_of.get(view.uid)
        if latest is not None and _older(view.version, latest.version):
            return latest
        known = self.jobs(view.namespace, view.run_uid).get(view.name)
        if known is not None and known.uid != view.uid:  # deleted and made again, unseen
            self.drop_job(known)
        elif known is not None:
            self._count(known, -1)
        self._count(view, +1)
        self._jobs.setdefault((view.namespace, view.run_uid), {})[view.name] = view
        self._job_of[view.uid] = view
        return view

    def drop_job(self, view: JobView) -> None:
        """Forget a Job that was deleted; its Pods may live on."""
        jobs = self.jobs(view.namespace, view.run_uid)
        known = jobs.get(view.name)
        if known is not None and known.uid == view.uid:
            self._count(known, -1)
            del jobs[view.name]
            if not jobs:  # also when its run went first: nothing else drops it then
                del self._jobs[view.namespace, view.run_uid]
        self._tidy(view.uid)

    def put_pod(self, body: Any) -> tuple[PodView, JobView | None] | None:
        """Take in a Pod; None if it belongs to no Job. An older copy is passed over.

        A Pod that was orphaned stays with the Job that it was made for.
        """
        view = pod_view(body, self._job_of_pod.get(text(dig(body, "metadata", "uid"))))
        if view is None or view.uid in self._tombstones:
            return None
        pods = self._pods.setdefault(view.job_uid, {})
        known = pods.get(view.uid)
        if known is not None and _older(view.version, known.version):
            view = known
        else:
            if known is not None and known.delete_asked_at is not None:
                # Its machine deletes it once more at its end, and the server then says when.
                view = replace(view, delete_asked_at=known.delete_asked_at)
            pods[view.uid] = view
            self._job_of_pod[view.uid] = view.job_uid
        return view, self._job_in(view.namespace, view.job_uid)

    def has_pod(self, body: Any) -> bool:
        """Return whether a Pod is known: one that was let go is not."""
        return dig(body, "metadata", "uid") in self._job_of_pod

    def lose_pod(self, uid: str) -> JobView | None:
        """Note that a Pod vanished; its last state is kept as long as its Job."""
        job_uid = self._job_of_pod.pop(uid, None)
        if job_uid is None:
            return None
        pods = self._pods.get(job_uid, {})
        job = None
        if uid in pods:
            job = self._job_in(pods[uid].namespace, job_uid)
            pods[uid] = replace(pods[uid], gone=True)
        self._tidy(job_uid)
        return job

    def jobs(self, namespace: str, run_uid: str) -> dict[str, JobView]:
        """Return the Jobs of a run by name: those of its namespace that say so."""
        return self._jobs.get((namespace, run_uid), {})

    def pods(self, job_uid: str) -> list[PodView]:
        """Return the Pods of a Job, vanished ones included; of its namespace only."""
        job, pods = self._job_of.get(job_uid), self._pods.get(job_uid, {}).values()
        return [pod for pod in pods if job is None or pod.namespace == job.namespace]

    def strays(self, job_uid: str) -> list[PodView]:
        """Return Pods of other namespaces that say they are of a Job."""
        job, pods = self._job_of.get(job_uid), self._pods.get(job_uid, {}).values()
        return [pod for pod in pods if job is not None and pod.namespace != job.namespace]

    def job(self, uid: str) -> JobView | None:
        """Return a Job that is there, by its UID."""
        view = self._job_of.get(uid)
        return view if view is not None and self._there(view) else None

    def last_job(self, uid: str) -> JobView | None:
        """Return a Job as it was last seen, also one that is gone while its Pods are not."""
        return self._job_of.get(uid)

    def lose_job(self, uid: str) -> JobView | None:
        """Forget a Job that a list no longer had."""
        view = self.job(uid)
        if view is not None:
            self.drop_job(view)
        return view

    def drop_pod(self, uid: str) -> None:
        """Forget a Pod whose outcome is recorded."""
        job_uid = self._job_of_pod.pop(uid, "")
        self._pods.get(job_uid, {}).pop(uid, None)
        self._suspend_deletions.discard(uid)
        self._own_pods.discard(uid)
        self._tidy(job_uid)

    def put_own_pod(self, body: Any) -> None:
        """Take in a Pod that this operator made, or found to be what it would make."""
        known = self.put_pod(body)
        if known is not None:
            self.mark_own_pod(known[0].uid)

    def mark_own_pod(self, uid: str) -> None:
        """Note that a Pod is one that this operator made, or would make."""
        self._own_pods.add(uid)

    def is_own_pod(self, uid: str) -> bool:
        """Return whether this operator made a Pod, or found it to be what it would make."""
        return uid in self._own_pods

    def mark_suspend_deletion(self, pod_uid: str) -> None:
        """Note that a Pod is deleted because its Job is suspended: its end is not an outcome."""
        self._suspend_deletions.add(pod_uid)

    def ended_by_suspension(self, pod: PodView) -> bool:
        """Return whether a Pod's end is not an outcome.

        One that had ended before its deletion reached the server has an outcome, and so has one
        whose deletion never did.
        """
        went = pod.asked_to_end or (pod.gone and not pod.ran_out)
        return went and pod.uid in self._suspend_deletions

    def remember(self, job: JobView) -> None:
        """Note whose Pods those of a Job are that was gone before anybody here saw it."""
        self._job_of.setdefault(job.uid, job)

    def orphaned_job_uid(self, namespace: str, name: str) -> str:
        """Return the UID of a Job of that name of which Pods are there, empty if there are none."""
        for job_uid, pods in self._pods.items():
            if any((pod.namespace, pod.job_name) == (namespace, name) for pod in pods.values()):
                return job_uid
        return ""

    def jobs_with_finalizers(self) -> list[str]:
        """Return the UIDs of the Jobs of Pods that carry Podium's finalizer."""
        return [
            job
            for job, pods in self._pods.items()
            if any(pod.finalizer is not None and not pod.gone for pod in pods.values())
        ]

    def counts(self) -> dict[str, Callable[[], int]]:
        """Return, by kind, what counts the objects that are kept."""
        return {
            "runs": lambda: len(self.runs),
            "workflows": lambda: len(self.workflows),
            "jobs": lambda: len(self._job_of),
            "pods": lambda: len(self._job_of_pod),
        }

    def _job_in(self, namespace: str, uid: str) -> JobView | None:
        job = self._job_of.get(uid)
        return job if job is not None and job.namespace == namespace else None

    def _there(self, job: JobView) -> bool:
        known = self.jobs(job.namespace, job.run_uid).get(job.name)
        return known is not None and known.uid == job.uid

    def _tidy(self, job_uid: str) -> None:
        """Forget a Job that is gone, once nothing of it may run and no Pod waits to be let go."""
        job = self._job_of.get(job_uid)
        if job is not None and self._there(job):
            return
        if not any(
            pod.alive or (pod.finalizer is not None and not pod.gone)
            for pod in self._pods.get(job_uid, {}).values()
        ):
            self._forget(job_uid)

    def _forget(self, job_uid: str) -> None:
        for pod in self._pods.pop(job_uid, {}):
            self._job_of_pod.pop(pod, None)
            self._suspend_deletions.discard(pod)
            self._own_pods.discard(pod)
        self._job_of.pop(job_uid, None)

    def _count(self, job: JobView, by: int) -> None:
        if not job.ended:
            self.live[job.namespace] += by


def _older(version: str, than: str) -> bool:
    """Compare resourceVersions of one object; what is not a number is never older."""
    return version.isdigit() and than.isdigit() and int(version) < int(than)
