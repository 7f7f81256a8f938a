"""Maintains the status of managed Jobs, and releases Pods once their outcome is persisted.

The built-in controller leaves a Job alone that names another one in `spec.managedBy`, so everything
that it would write is written here (kubernetes.md 2, 5 and 6). A Pod carries a finalizer until its
outcome is stored in the run's status, for it must not vanish before (kubernetes.md 7). Nothing here
is on the way from one node to the next.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from podium.api.names import LABEL_RECORDED
from podium.cluster.jobs.builder import without_finalizer
from podium.cluster.jobs.job_status import STARTED_SECONDS, job_status, worth_telling_at
from podium.cluster.jobs.map_status import SPACING_SECONDS, MapProgress, MapStatuses
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import GRACE_SECONDS, INDEXED, ITEM, JobView, PodView, real_job
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache
from podium.cluster.worker import Result
from podium.cluster.workqueue import KeyQueue

__all__ = ["ManagedJobController"]

BACKLOG = 20
"""With so many Jobs waiting, none is reported as running."""
BEHIND_SECONDS = 60.0
"""When a Job waits for so long, the controller is behind: longer than any burst."""
PAUSE_SECONDS = 0.5
"""While the server does not answer, there is no use in trying one Job after the other."""
MANY_ITEMS = 1_500
"""With so many shares of one Indexed Job, Pods of items that have ended pile up: they are let go as
fast as they are made."""
KEPT_FAILED = 20
"""Pods of failed items that stay with their Job, for their logs."""
LOG_SECONDS = 60.0
"""Pods of items stay so long where logs are kept (`artifacts.logs`): the log goes with its Pod."""
MOVED_SECONDS = 0.2
"""A Pod whose finalizers moved is looked at again after so long."""


class ManagedJobController:
    """Reconciles Jobs by their UID."""

    def __init__(self, client: KubernetesClient, cache: InformerCache, settings: Settings) -> None:
        self._client = client
        self._cache = cache
        self._settings = settings
        self.queue: KeyQueue[str] = KeyQueue(self._namespace)
        self._outcomes: dict[str, bool] = {}
        """Jobs whose outcome is recorded: whether their node succeeded."""
        self._disrupted: set[str] = set()
        """Pods whose disruption is recorded."""
        self._maps = MapStatuses()
        self._kept: Counter[str] = Counter()
        """How many Pods of failed items stay, by the UID of the Indexed Job."""
        self._ended_pods: dict[str, list[tuple[float, str, str, str]]] = {}
        """Pods of items that are let go and still to be deleted, by the item's share: from when on
        (monotonic), namespace, name and UID."""

    # What the rest of the operator calls

    def set_outcome(self, job: JobView, *, succeeded: bool) -> None:
        """Note that the outcome of a Job is stored in its run's status."""
        if self.is_done(job):
            return
        self._outcomes[job.uid] = succeeded
        self.queue.add(job.uid)

    def set_progress(self, job: JobView, progress: MapProgress) -> None:
        """Note how the items of a map stand, as its run's status has it."""
        if not job.ended:
            self._maps.set_progress(job.uid, progress)
            self.queue.add(job.uid)

    def is_done(self, job: JobView) -> bool:
        """Return whether all is done that the end of a Job asks for."""
        kept = job.ended and (job.managed_by or job.has_ttl)
        return bool(kept) and not self._cache.pods(job.uid)

    def has_pending_outcome(self, job: JobView) -> bool:
        """Return whether an outcome is recorded that the Job's own status does not show yet."""
        return job.uid in self._outcomes

    def release_disrupted(self, pod: PodView) -> None:
        """Note that the disruption of a Pod is stored in its run's status."""
        if pod.finalizer is not None:
            self._disrupted.add(pod.uid)
            self.queue.add(pod.job_uid)

    def is_lagging(self) -> bool:
        """Return whether Jobs wait for long."""
        return self.queue.age() > BEHIND_SECONDS

    def changed(self, job_uid: str) -> None:
        """Note that something of a Job, or of a Pod of it, changed."""
        self.queue.add(job_uid)

    def _namespace(self, job_uid: str) -> str:
        job = self._cache.job(job_uid)
        return job.namespace if job is not None else ""

    # The reconciler

    async def reconcile(self, key: str) -> Result:
        """Bring a Job's status to what it is, and release its Pods. Raises `ApiError`."""
        try:
            return await self._reconcile(key)
        except ApiError as error:
            if error.status == 404:  # deleted meanwhile: its event comes
                return Result()
            if not error.status:
                await asyncio.sleep(PAUSE_SECONDS)
            raise

    def failed(self, key: str, error: Exception, wait: float | None) -> None:
        """Leave it at the log: a Job's own status must never stop its run."""

    async def _reconcile(self, uid: str) -> Result:
        job, pods = self._cache.job(uid), self._cache.pods(uid)
        outcome = self._outcomes.get(uid)
        await self._delete_ended(uid)
        if job is not None and job.shape == INDEXED:
            return await self._update_map(job, outcome)
        if job is None and outcome is None and not self._cache.is_tombstoned(uid):
            job = await self._ask(uid, pods)
        refused: ApiError | None = None
        waits: list[float | None] = []
        await self._end_soon(self._cache.last_job(uid), pods)
        if job is not None and not job.deleting:
            try:
                waits.append(await self._update_job(job, pods, outcome))
            except ApiError as error:
                if error.status != 422 or job.managed_by != self._settings.manager:
                    raise
                refused = error  # for good, it seems: its Pods must not wait for it
        ready = [p for p in pods if p.finalizer is not None and not p.gone]
        for pod in [p for p in ready if self._may_go(job, p, outcome)]:
            waits.append(await self._release(pod))
            if pod.item and waits[-1] is None:
                self._note_ended(pod, outcome)
        strays = [p for p in self._cache.strays(uid) if p.finalizer is not None and not p.gone]
        waits += [await self._release(p) for p in strays if self._may_go(None, p, outcome)]
        await self._delete_ended(uid)
        now = self._cache.job(uid)
        if now is not None and now.shape == ITEM:
            self._end_item(now)
        elif now is None or now.deleting or (now.ended and (now.managed_by or now.has_ttl)):
            self._outcomes.pop(uid, None)
        if refused is not None:
            raise refused
        return Result(min((wait for wait in waits if wait is not None), default=None))

    async def _update_map(self, job: JobView, outcome: bool | None) -> Result:
        """Write the status of an Indexed Job, at most once a second."""
        now = time.monotonic()
        if job.ended or job.deleting:
            self._forget_map(job.uid)
            return Result()
        if (wait := self._maps.wait(job.uid, now)) > 0:
            return Result(wait)
        pods = [pod for item in self._cache.items(job.uid) for pod in self._cache.pods(item.uid)]
        status = self._maps.status(job, pods, outcome, time.time())
        if status is not None:
            body = await self._client.patch_job_status(job.namespace, job.name, status)
            self._maps.written(job.uid, status, now)
            view = self._cache.put_job(body)
            if view is not None and view.ended:
                self._forget_map(job.uid)
        return Result()

    def _forget_map(self, uid: str) -> None:
        self._outcomes.pop(uid, None)
        self._maps.forget(uid)
        del self._kept[uid]

    def _end_item(self, item: JobView) -> None:
        """Forget an item's share of its Job once its end is recorded and its Pods are let go."""
        self.queue.add_after(real_job(item.uid), SPACING_SECONDS)
        if item.uid in self._outcomes and not self._cache.pods(item.uid):
            del self._outcomes[item.uid]
            self._cache.drop_item(item.uid)

    def _note_ended(self, pod: PodView, outcome: bool | None) -> None:
        """Note that the Pod of an item is to be deleted: so many would crowd out those of others.

        Some that failed stay, for their logs.
        """
        job = real_job(pod.job_uid)
        if outcome is False and pod.phase == "Failed" and self._kept[job] < KEPT_FAILED:
            self._kept[job] += 1
        elif not pod.gone and pod.delete_asked_at is None:
            stays = LOG_SECONDS if self._settings.artifacts.keeps_logs(pod.namespace) else 0.0
            ended = time.monotonic() + stays, pod.namespace, pod.name, pod.uid
            self._ended_pods.setdefault(pod.job_uid, []).append(ended)

    async def _delete_ended(self, uid: str) -> None:
        """Delete the Pods of an item that were let go."""
        pods = self._ended_pods.get(uid, [])
        while pods:
            due, *pod = pods[0]
            if (wait := due - time.monotonic()) > 0:
                self.queue.add_after(uid, wait)
                return
            await self._client.delete_pod(*pod)
            pods.pop(0)
        self._ended_pods.pop(uid, None)

    async def _end_soon(self, job: JobView | None, pods: Sequence[PodView]) -> None:
        """Delete Pods with artifacts that are deleted with their run: with less grace, and first.

        The server takes the Pod's own grace period, as long as an upload may take, for any program
        that does not end on SIGTERM; and a kubelet that waits already does not hear of a shorter
        one.
        """
        is_doomed = job is not None and self._cache.is_tombstoned(job.run_uid)
        for pod in pods:
            if not (pod.collects and pod.program_alive):
                continue
            if pod.ends_slowly or (is_doomed and pod.delete_asked_at is None):
                where = pod.namespace, pod.name, pod.uid
                await self._client.delete_pod(*where, seconds=GRACE_SECONDS)

    async def _ask(self, uid: str, pods: Sequence[PodView]) -> JobView | None:
        """Ask for the Job of ended Pods that the cache does not have: only the server is sure."""
        held = (p for p in pods if p.finalizer is not None and not p.gone and not p.alive)
        pod = next(held, None)
        if pod is None or not pod.job_name:
            return None
        try:
            body = await self._client.get_job(pod.namespace, pod.job_name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        self._cache.put_job(body)
        return self._cache.job(uid)

    async def _update_job(
        self, job: JobView, pods: Sequence[PodView], outcome: bool | None
    ) -> float | None:
        """Write what a Job's status has to say; return when (in seconds) it will say more."""
        if job.managed_by == self._settings.manager:
            return await self._update_status(job, pods, outcome)
        if outcome is not None and job.ended and not job.has_ttl and not job.managed_by:
            seconds = self._settings.jobs.ttl(succeeded=outcome)
            await self._client.set_job_ttl(job.namespace, job.name, seconds)
        return None

    async def _update_status(
        self, job: JobView, pods: Sequence[PodView], outcome: bool | None
    ) -> float | None:
        if job.suspended and outcome is None:
            await self._delete_suspended(pods)
        if job.shape == ITEM:  # it has no status of its own
            return None
        wait = worth_telling_at(job, pods) - time.time()
        if len(self.queue) > BACKLOG:  # what ended matters more
            wait = max(wait, STARTED_SECONDS)
        if outcome is None and not job.suspended and wait > 0:
            return wait
        status = job_status(job, pods, outcome, time.time())
        if status is not None:
            body = await self._client.patch_job_status(job.namespace, job.name, status)
            self._cache.put_job(body)
        return None

    async def _delete_suspended(self, pods: Sequence[PodView]) -> None:
        for pod in pods:
            if pod.alive and pod.delete_asked_at is None:
                self._cache.mark_suspend_deletion(pod.uid)
                # One that has ended since has an outcome, which must stay.
                await self._client.delete_pod(pod.namespace, pod.name, pod.uid, version=pod.version)

    def _may_go(self, job: JobView | None, pod: PodView, outcome: bool | None) -> bool:
        """Return whether a Pod may vanish: nothing of it runs, and its end is not waited for."""
        if pod.delete_asked_at is not None and pod.scheduled_at is None:
            return True
        wanted = (
            job is not None
            and not job.deleting
            and not job.ended
            and outcome is None
            and pod.uid not in self._disrupted
            and not self._cache.ended_by_suspension(pod)
        )
        return not wanted and not pod.alive

    async def _release(self, pod: PodView) -> float | None:
        """Remove a Pod's finalizer; return when (in seconds) to try again, None: it is done."""
        assert pod.finalizer is not None  # noqa: S101 - for the type checker
        label = "/metadata/labels/" + LABEL_RECORDED.replace("/", "~1")
        operations = [
            *without_finalizer(pod.finalizer),
            # It is not watched from now on: it costs nothing any more.
            {"op": "add", "path": label, "value": "true"},
        ]
        many = bool(pod.item) and self._cache.count_items(real_job(pod.job_uid)) > MANY_ITEMS
        try:
            await self._client.patch_pod(pod.namespace, pod.name, operations, hurry=many)
        except ApiError as error:
            if error.status == 422:  # other finalizers moved: look at it as it is now
                self._cache.put_pod(await self._client.get_pod(pod.namespace, pod.name))
                return MOVED_SECONDS
            if error.status != 404:
                raise
        self._disrupted.discard(pod.uid)
        self._cache.drop_pod(pod.uid)
        return None
