"""Events of the API server taken in: into the cache, and on to whom they concern."""

from typing import Any, Protocol

from podium.cluster.kube.views import JobView, RunView, job_view
from podium.cluster.watch.store import InformerCache, RunKey
from podium.cluster.workqueue import Priority

__all__ = ["Ingest", "Listener"]


class Listener(Protocol):
    """Who hears of what the cache has taken in."""

    def run_changed(self, key: RunKey, priority: Priority) -> None:
        """Hear of a WorkflowRun that came, changed or went."""
        ...

    def runs_changed(self, namespace: str, workflow: str) -> None:
        """Hear that another number of runs of a Workflow exists, or is active."""
        ...

    def workflow_changed(self, key: RunKey, priority: Priority) -> None:
        """Hear of a Workflow whose definition was not looked at yet."""
        ...

    def workflow_appeared(self, namespace: str) -> None:
        """Hear of a Workflow that runs may wait for."""
        ...

    def contract_schema_changed(self, namespace: str, name: str) -> None:
        """Hear of a ContractSchema that came or changed."""
        ...

    def job_changed(self, job: JobView) -> None:
        """Hear of a change of a run's Job, or of a Pod of it."""
        ...

    def managed_job_changed(self, job_uid: str) -> None:
        """Hear of a Job, or a Pod with a finalizer, that may have to be looked after."""
        ...

    def forget_events(self, uid: str) -> None:
        """Hear of an object that went."""
        ...


class Ingest:
    """Takes events in. Nothing here waits, and nothing raises for what an object holds."""

    def __init__(self, cache: InformerCache, listener: Listener) -> None:
        self._cache = cache
        self._listener = listener
        self.freed: set[str] = set()
        """Namespaces in which a run or a Workflow was deleted: its definitions may be left over."""

    def run_event(self, kind: str | None, body: Any) -> None:
        """Take in a WorkflowRun; `kind` is None for one that was listed at start-up."""
        meta = body["metadata"]
        key = (meta["namespace"], meta["name"])
        before = self._cache.runs.get(key)
        if kind == "DELETED":
            jobs = [job.uid for job in self._cache.jobs(key[0], meta["uid"]).values()]
            self._cache.drop_run(key, meta["uid"])
            self._cache.add_tombstone(body)
            for job in jobs:
                self._listener.managed_job_changed(job)
            self.freed.add(key[0])
            self._listener.forget_events(meta["uid"])
        else:
            view = self._cache.put_run(body)
            if view is before and view is not None:
                return
        after = self._cache.runs.get(key)
        self._listener.run_changed(key, _priority(kind, before, after))
        view = after or before
        if view is not None and _counts_as(before) != _counts_as(after):
            self._listener.runs_changed(key[0], view.workflow)

    def run_metadata_event(self, kind: str, body: Any) -> None:
        """Take in the metadata of a WorkflowRun: whoever works on the run reads the rest."""
        meta = body["metadata"]
        if kind == "LOST":
            key = self._cache.keys.get(meta["uid"])
            view = self._cache.runs.get(key) if key is not None else None
            if view is not None:
                self.run_gone(view)
            return
        if kind == "DELETED":
            self.run_event(kind, body)
            return
        key = (meta["namespace"], meta["name"])
        before = self._cache.runs.get(key)
        after = self._cache.note_run(body)
        if after is not None:
            self._listener.run_changed(key, _priority(kind, before, after))

    def run_gone(self, view: RunView) -> None:
        """Take in that a run is gone, although no event reported its deletion."""
        meta = {"namespace": view.namespace, "name": view.name, "uid": view.uid}
        self.run_event("DELETED", {"metadata": meta})

    def workflow_event(self, kind: str | None, body: Any) -> None:
        """Take in a Workflow."""
        meta = body["metadata"]
        key = (meta["namespace"], meta["name"])
        if kind == "DELETED":
            self._cache.workflows.pop(key, None)
            self.freed.add(key[0])
            self._listener.forget_events(meta["uid"])
            return
        view = self._cache.put_workflow(body)
        if view is None:
            return
        if view.generation != view.observed_generation:
            priority = Priority.LOW if kind is None else Priority.NORMAL
            self._listener.workflow_changed(key, priority)
        self._listener.workflow_appeared(key[0])

    def contract_schema_event(self, kind: str, body: Any) -> None:
        """Take in the metadata of a ContractSchema: whoever judges it reads the rest."""
        meta = body["metadata"]
        if kind in ("DELETED", "LOST"):
            self._listener.forget_events(meta["uid"])
        else:
            self._listener.contract_schema_changed(meta["namespace"], meta["name"])

    def job_event(self, kind: str, body: Any) -> None:
        """Take in a Job of a run; of an Indexed Job the shares of items change with it."""
        uid = body["metadata"]["uid"]
        shares = self._cache.items(uid) if kind in ("LOST", "DELETED") else []
        if kind == "LOST":
            view = self._cache.lose_job(uid)
        elif kind == "DELETED":
            view = job_view(body)
            if view is not None:
                self._cache.drop_job(view)
        else:
            view = self._cache.put_job(body)
        if kind in ("LOST", "DELETED"):
            self._cache.add_tombstone(body)
        if view is None:
            return
        for each in (view, *shares, *self._cache.take_changed_items()):
            self._listener.job_changed(each)
            self._listener.managed_job_changed(each.uid)

    def pod_event(self, kind: str, body: Any) -> None:
        """Take in a Pod of a run."""
        if kind == "LOST":
            job = self._cache.lose_pod(body["metadata"]["uid"])
        elif kind == "DELETED":
            known = self._cache.put_pod(body) if self._cache.has_pod(body) else None
            job = self._cache.lose_pod(body["metadata"]["uid"]) if known is not None else None
        else:
            known = self._cache.put_pod(body)
            if known is None:
                return
            job = known[1]
            if known[0].finalizer is not None or known[0].ends_slowly:
                self._listener.managed_job_changed(known[0].job_uid)
        if kind in ("LOST", "DELETED"):
            self._cache.add_tombstone(body)
        if job is not None:
            self._listener.job_changed(job)


def _counts_as(view: RunView | None) -> str:
    """Return as what a run is counted."""
    return "none" if view is None else "ended" if view.ended else "active"


def _priority(kind: str | None, before: RunView | None, after: RunView | None) -> Priority:
    """Return how soon a run comes: `kind` is None for one that was listed."""
    if before is not None and after is not None:
        same = (after.generation, after.annotations) == (before.generation, before.annotations)
        # Such as a cancel, which must not wait.
        return Priority.NORMAL if same else Priority.USER
    return Priority.LOW if kind is None or before is None else Priority.NORMAL
