"""Jobs whose Pods Podium makes: their status is kept true, and Pods are let go once recorded.

The built-in controller leaves a Job alone that names another one in `spec.managedBy`, so everything
that it would write is written here (kubernetes.md 2, 5 and 6). A Pod carries a finalizer until its
outcome is in the run's status, for it must not vanish before (kubernetes.md 7). Nothing here is on
the way from one node to the next.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from podium.api.names import LABEL_RECORDED
from podium.cluster.jobs.builder import without_finalizer
from podium.cluster.kube.client import ApiError, Gateway
from podium.cluster.kube.views import JobView, PodView
from podium.cluster.settings import Settings
from podium.cluster.watch.store import Cache
from podium.cluster.workqueue import KeyQueue, backoff

__all__ = ["JobKeeper", "job_status"]

log = logging.getLogger(__name__)

STARTED_SECONDS = 3.0
"""A Job whose program ends sooner is never said to run: that write is saved. Kubernetes writes
whole seconds, so it is at least two."""
PENDING_SECONDS = 30.0
"""A Job whose program has not started is said to be active after so long."""
BACKLOG = 20
"""With so many Jobs waiting, none is said to run."""
BEHIND_SECONDS = 60.0
"""When a Job waits for so long, the keeper is behind: longer than any burst."""
PAUSE_SECONDS = 0.5
"""While the server does not answer, there is no use in trying one Job after the other."""
BACKOFF_SECONDS = (0.5, 60.0)


class JobKeeper:
    """Works on Jobs by their UID."""

    def __init__(self, gateway: Gateway, cache: Cache, settings: Settings) -> None:
        self._gateway = gateway
        self._cache = cache
        self._settings = settings
        self._queue: KeyQueue[str] = KeyQueue()
        self._outcomes: dict[str, bool] = {}
        """Jobs whose outcome is recorded: whether they succeeded."""
        self._spent: set[str] = set()
        """Pods whose disruption is recorded."""
        self._failures: dict[str, int] = {}

    def recorded(self, job: JobView, *, succeeded: bool) -> None:
        """Note that the outcome of a Job stands in its run's status."""
        if self.done(job):
            return
        self._outcomes[job.uid] = succeeded
        self._queue.add(job.uid)

    def done(self, job: JobView) -> bool:
        """Return whether all is done that the end of a Job asks for."""
        kept = job.ended and (job.managed_by or job.has_ttl)
        return bool(kept) and not self._cache.pods(job.uid)

    def owes(self, job: JobView) -> bool:
        """Return whether an outcome is recorded that the Job's own status does not show yet."""
        return job.uid in self._outcomes

    def spent(self, pod: PodView) -> None:
        """Note that the disruption of a Pod stands in its run's status."""
        if pod.finalizer is not None:
            self._spent.add(pod.uid)
            self._queue.add(pod.job_uid)

    def behind(self) -> bool:
        """Return whether Jobs wait for long."""
        return self._queue.age() > BEHIND_SECONDS

    def changed(self, job_uid: str) -> None:
        """Note that something of a Job, or of a Pod of it, changed."""
        self._queue.add(job_uid)

    async def work(self) -> None:
        """Take Jobs and work on them, for ever."""
        while True:
            uid = await self._queue.get()
            try:
                await self._reconcile(uid)
                self._failures.pop(uid, None)
            except ApiError as error:
                self._failed(uid, error)
                if not error.status:
                    await asyncio.sleep(PAUSE_SECONDS)
            except Exception:
                log.exception("Job %s is set aside for a while", uid)
                self._failed(uid, None)
            finally:
                self._queue.done(uid)

    def _failed(self, uid: str, error: ApiError | None) -> None:
        if error is not None and error.status == 404:  # deleted since: its event comes
            return
        times = self._failures[uid] = self._failures.get(uid, 0) + 1
        if error is not None and not error.transient and error.status != 409:
            # Such as 422: the Job's own status must never stop its run.
            log.warning("Job %s: %s", uid, error)
        self._queue.add_after(uid, backoff(times, BACKOFF_SECONDS))

    async def _reconcile(self, uid: str) -> None:
        job, pods = self._cache.job(uid), self._cache.pods(uid)
        outcome = self._outcomes.get(uid)
        if job is None and outcome is None and not self._cache.buried(uid):
            job = await self._ask(uid, pods)
        refused: ApiError | None = None
        if job is not None and not job.deleting:
            if job.managed_by == self._settings.manager:
                try:
                    await self._keep(job, pods, outcome)
                except ApiError as error:
                    if error.status != 422:
                        raise
                    refused = error  # for good, it seems: its Pods must not wait for it
            elif outcome is not None and job.ended and not job.has_ttl and not job.managed_by:
                seconds = self._settings.jobs.ttl(succeeded=outcome)
                await self._gateway.set_job_ttl(job.namespace, job.name, seconds)
        for pod in pods:
            if pod.finalizer is not None and not pod.gone and self._may_go(job, pod, outcome):
                await self._let_go(pod)
        now = self._cache.job(uid)
        if now is None or now.deleting or (now.ended and (now.managed_by or now.has_ttl)):
            self._outcomes.pop(uid, None)
        if refused is not None:
            raise refused

    async def _ask(self, uid: str, pods: Sequence[PodView]) -> JobView | None:
        """Ask for the Job of ended Pods that the watches do not know: only the server is sure."""
        held = (p for p in pods if p.finalizer is not None and not p.gone and not p.alive)
        pod = next(held, None)
        if pod is None or not pod.job_name:
            return None
        try:
            body = await self._gateway.get_job(pod.namespace, pod.job_name)
        except ApiError as error:
            if error.status != 404:
                raise
            return None
        job = self._cache.put_job(body)
        return job if job is not None and job.uid == uid else None

    async def _keep(self, job: JobView, pods: Sequence[PodView], outcome: bool | None) -> None:
        if job.suspended and outcome is None:
            for pod in pods:
                if pod.alive and pod.delete_asked_at is None:
                    self._cache.excuse(pod.uid)
                    # One that has ended since has an outcome, which must stay.
                    await self._gateway.delete_pod(
                        pod.namespace, pod.name, pod.uid, version=pod.version
                    )
        wait = _worth_telling(job, pods) - time.time()
        if len(self._queue) > BACKLOG:  # what ended matters more
            wait = max(wait, STARTED_SECONDS)
        if outcome is None and not job.suspended and wait > 0:
            self._queue.add_after(job.uid, wait)
            return
        status = job_status(job, pods, outcome, time.time())
        if status is not None:
            body = await self._gateway.patch_job_status(job.namespace, job.name, status)
            self._cache.put_job(body)

    def _may_go(self, job: JobView | None, pod: PodView, outcome: bool | None) -> bool:
        """Return whether a Pod may vanish: nothing of it runs, and nobody waits for its end."""
        if pod.delete_asked_at is not None and pod.scheduled_at is None:
            return True
        wanted = (
            job is not None
            and not job.deleting
            and not job.ended
            and outcome is None
            and pod.uid not in self._spent
            and not self._cache.excused(pod)
        )
        return not wanted and not pod.alive

    async def _let_go(self, pod: PodView) -> None:
        assert pod.finalizer is not None  # noqa: S101 - for the type checker
        label = "/metadata/labels/" + LABEL_RECORDED.replace("/", "~1")
        operations = [
            *without_finalizer(pod.finalizer),
            # Nobody watches it from now on: it costs nothing any more.
            {"op": "add", "path": label, "value": "true"},
        ]
        try:
            await self._gateway.patch_pod(pod.namespace, pod.name, operations)
        except ApiError as error:
            if error.status == 422:  # other finalizers moved: look at it as it is now
                self._cache.put_pod(await self._gateway.get_pod(pod.namespace, pod.name))
                self._queue.add_after(pod.job_uid, 0.2)
                return
            if error.status != 404:
                raise
        self._spent.discard(pod.uid)
        self._cache.drop_pod(pod.uid)


def _worth_telling(job: JobView, pods: Sequence[PodView]) -> float:
    """Return from when on (seconds since 1970) a Job is said to run."""
    started = next((pod.started_at for pod in pods if pod.program_alive and pod.started_at), None)
    if started is not None:
        return started + STARTED_SECONDS
    return 0.0 if job.start_time else job.created_at + PENDING_SECONDS


def job_status(
    job: JobView, pods: Sequence[PodView], outcome: bool | None, now: float
) -> dict[str, Any] | None:
    """Return what the status of a managed Job must become; None: it is true as it is.

    `outcome`: whether it succeeded, None while that is not recorded. `now` in seconds since 1970.
    The server's rules for it stand in kubernetes.md 2.
    """
    if job.ended:
        return None
    begun = job.start_time or _time(min(job.created_at or now, now))
    if outcome is not None:
        kinds = ("SuccessCriteriaMet", "Complete") if outcome else ("FailureTarget", "Failed")
        reason = "CompletionsReached" if outcome else "NodeFailed"
        message = "" if outcome else "the run's status says why"
        counts: dict[str, Any] = {"succeeded": 1} if outcome else {"failed": max(1, len(pods))}
        if outcome:
            counts["completionTime"] = max(_time(now), begun)
        return {
            "startTime": begun,
            "active": 0,
            "ready": 0,
            "terminating": 0,
            "uncountedTerminatedPods": {},
            **counts,
            "conditions": [_condition(kind, "True", reason, message, now) for kind in kinds],
        }
    alive = next((pod for pod in pods if pod.alive), None)
    if job.suspended:
        if alive is not None or (job.suspension_told and not job.active):
            return None
        return {
            "startTime": None,
            "active": 0,
            "ready": 0,
            "conditions": [_condition("Suspended", "True", "JobSuspended", "Job suspended", now)],
        }
    if alive is None:
        return None
    ready = int(alive.ready)
    if job.start_time and (job.active, job.ready) == (1, ready) and not job.suspension_told:
        return None
    status: dict[str, Any] = {
        "startTime": begun,
        "active": 1,
        "ready": ready,
        "terminating": 0,
        "uncountedTerminatedPods": {},
    }
    if job.suspension_told:
        status["startTime"] = _time(now)
        resumed = _condition("Suspended", "False", "JobResumed", "Job resumed", now)
        status["conditions"] = [resumed]
    return status


def _condition(kind: str, status: str, reason: str, message: str, now: float) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastProbeTime": _time(now),
        "lastTransitionTime": _time(now),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
