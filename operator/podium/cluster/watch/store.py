"""Informer cache: runs, Jobs and Pods as they were last observed.

Advisory only: before anything is decided by what is missing here, the server is asked. Responses to
requests are taken in, too, and one may come after the watch reported that the object is gone: what
is known to be gone stays gone.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from podium.cluster.kube.views import (
    INDEXED,
    ITEM,
    JobView,
    PodView,
    dig,
    item_view,
    job_view,
    pod_view,
    real_job,
    text,
)
from podium.cluster.watch.run_store import RunKey, RunStore, is_older

__all__ = ["InformerCache", "RunKey"]


class InformerCache(RunStore):
    """Runs, Workflows, and the Jobs and Pods of runs."""

    def __init__(self) -> None:
        super().__init__()
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
        self._items: dict[str, dict[str, JobView]] = {}
        """Shares that items have of Indexed Jobs, by the UID of the Job, then by their own."""
        self._changed_items: dict[str, JobView] = {}
        self.live: Counter[str] = Counter()
        """Jobs that have not ended, by namespace."""

    def drop_run(self, key: RunKey, uid: str) -> None:
        """Forget a run that was deleted, and its Jobs."""
        super().drop_run(key, uid)
        for job in list(self.jobs(key[0], uid).values()):
            self.drop_job(job)
        self._jobs.pop((key[0], uid), None)

    # Jobs and Pods

    def put_job(self, body: Any) -> JobView | None:
        """Take in a Job of a run; None if it is none. An older copy is passed over."""
        view = job_view(body)
        if view is None or view.uid in self._tombstones:
            return None
        latest = self._job_of.get(view.uid)
        if latest is not None and is_older(view.version, latest.version):
            return latest
        known = self.jobs(view.namespace, view.run_uid).get(view.name)
        if known is not None and known.uid != view.uid:  # deleted and made again, unseen
            self.drop_job(known)
        elif known is not None:
            self._count(known, -1)
        self._count(view, +1)
        self._jobs.setdefault((view.namespace, view.run_uid), {})[view.name] = view
        self._job_of[view.uid] = view
        if view.shape == INDEXED:
            self._refresh_items(view, is_new=latest is None)
        return view

    def _refresh_items(self, job: JobView, *, is_new: bool) -> None:
        """Have the shares of items say what their Job says now."""
        for known in self.items(job.uid):
            if job.ended and not self._pods.get(known.uid):
                self.drop_item(known.uid)
            else:
                self.put_item(job, known.node, known.execution, known.created_at)
        if is_new:  # Pods that were seen before it
            begin = f"{job.uid}/"
            for uid in [each for each in self._pods if each.startswith(begin)]:
                for pod in self._pods[uid].values():
                    self._put_item_of(pod)

    def _put_item_of(self, pod: PodView) -> None:
        job = self.job(real_job(pod.job_uid))
        if job is not None and job.namespace == pod.namespace and job.shape == INDEXED:
            self.put_item(job, pod.item, pod.execution, pod.created_at)

    def put_item(self, job: JobView, node: str, execution: str, since: float) -> JobView:
        """Take in the share of an Indexed Job that an execution of an item has."""
        uid = f"{job.uid}/{execution}"
        known = self._items.setdefault(job.uid, {}).get(uid)
        view = item_view(job, node, execution, since if known is None else known.created_at)
        if known == view:
            return known
        if known is None:
            self._count(view, +1)
        else:
            self._changed_items[uid] = view
        self._items[job.uid][uid] = view
        self._jobs.setdefault((view.namespace, view.run_uid), {})[view.name] = view
        self._job_of[view.uid] = view
        return view

    def take_changed_items(self) -> list[JobView]:
        """Return the shares of items that say something else since this was asked last."""
        changed, self._changed_items = self._changed_items, {}
        return list(changed.values())

    def items(self, job_uid: str) -> list[JobView]:
        """Return the shares of items that are known of an Indexed Job."""
        return list(self._items.get(job_uid, {}).values())

    def count_items(self, job_uid: str) -> int:
        """Return how many shares are known of an Indexed Job."""
        return len(self._items.get(job_uid, ()))

    def drop_item(self, uid: str) -> None:
        """Forget the share of an item whose end is recorded, and whose Pods are let go."""
        view = self._job_of.get(uid)
        if view is not None:
            self.drop_job(view)
            self._forget(uid)

    def drop_job(self, view: JobView) -> None:
        """Forget a Job that was deleted; its Pods may live on."""
        for item in self.items(view.uid):
            self.drop_job(item)
        jobs = self.jobs(view.namespace, view.run_uid)
        known = jobs.get(view.name)
        if known is not None and known.uid == view.uid:
            self._count(known, -1)
            del jobs[view.name]
            if view.shape == ITEM:
                of_job = self._items[real_job(view.uid)]
                of_job.pop(view.uid)
                if not of_job:
                    del self._items[real_job(view.uid)]
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
        if known is not None and is_older(view.version, known.version):
            view = known
        else:
            if known is not None and known.delete_asked_at is not None:
                # Its machine deletes it once more at its end, and the server then says when.
                view = replace(view, delete_asked_at=known.delete_asked_at)
            pods[view.uid] = view
            self._job_of_pod[view.uid] = view.job_uid
            if view.item and view.job_uid not in self._job_of:
                self._put_item_of(view)
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
        if not job.ended and job.shape != INDEXED:
            self.live[job.namespace] += by
