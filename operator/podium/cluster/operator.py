"""The operator: event source, queue and controllers, put together."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from podium.api.names import LABEL_RECORDED, LABEL_RUN
from podium.cluster import health
from podium.cluster.garbage_collector import Housekeeping
from podium.cluster.jobs.controller import JobKeeper
from podium.cluster.kube.client import ApiError, Gateway, connect, own_namespace
from podium.cluster.kube.events import Recorder, Subject
from podium.cluster.kube.leader_election import Leader, Timing
from podium.cluster.kube.views import RunView, job_view
from podium.cluster.metrics import Metrics
from podium.cluster.runs.controller import QueueKey, RunController
from podium.cluster.runs.revisions import Definitions
from podium.cluster.runs.status_writer import ConflictError
from podium.cluster.settings import Settings
from podium.cluster.watch import kopf_source as handlers
from podium.cluster.watch.reflector import Reflector
from podium.cluster.watch.store import Cache
from podium.cluster.workflow_controller import WorkflowController
from podium.cluster.workqueue import KeyQueue, Rank, backoff

__all__ = ["run"]

log = logging.getLogger(__name__)

WORKERS = 16
KEEPERS = 8
DRAIN_SECONDS = 5.0
BACKOFF_SECONDS = (0.5, 60.0)
CONFLICT_SECONDS = (0.1, 60.0)
COUNT_SECONDS = 10.0
"""A Workflow's count of runs is written at most this often."""
STUCK_SECONDS = 300.0
"""A worker that is busy with one key for so long makes the operator unhealthy."""


class Operator:
    """Takes events in, and works on what they name."""

    def __init__(self, gateway: Gateway, settings: Settings, metrics: Metrics) -> None:
        self.cache = Cache()
        self.queue: KeyQueue[QueueKey] = KeyQueue()
        self.metrics = metrics
        metrics.depth.set_function(lambda: len(self.queue))
        metrics.running.set_function(self.cache.live.total)
        self.recorder = Recorder(gateway)
        self.keeper = JobKeeper(gateway, self.cache, settings)
        definitions = Definitions(gateway, self.cache)
        self.runs = RunController(
            gateway,
            self.cache,
            self.queue,
            self.recorder,
            definitions,
            self.keeper,
            settings,
            metrics,
        )
        for kind, count in {**self.cache.counts(), "active": self.runs.active}.items():
            metrics.kept.labels(kind).set_function(count)
        self.workflows = WorkflowController(gateway, self.cache, self.recorder)
        self.watching = asyncio.Event()
        """Set once runs and Workflows are listed."""
        self.ready = asyncio.Event()
        self._leading = asyncio.Event()
        self._begun = asyncio.Event()
        self._failures: dict[QueueKey, int] = {}
        self._busy: dict[QueueKey, float] = {}

    # The sink of the event source

    def run_event(self, kind: str | None, body: Any) -> None:
        """Take in a WorkflowRun."""
        meta = body["metadata"]
        key = (meta["namespace"], meta["name"])
        before = self.cache.runs.get(key)
        if kind == "DELETED":
            self.cache.drop_run(key, meta["uid"])
            self.cache.bury(body)
            self.recorder.forget(meta["uid"])
        else:
            view = self.cache.put_run(body)
            if view is before and view is not None:
                return
        after = self.cache.runs.get(key)
        self.queue.add(("WorkflowRun", *key), _rank(kind, before, after))
        if (before is None or before.ended) != (after is None or after.ended):
            self._count((after or before).workflow if after or before else "", key[0])  # type: ignore[union-attr]

    def run_gone(self, view: RunView) -> None:
        """Take in that a run is not there any more, although nobody told of its deletion."""
        meta = {"namespace": view.namespace, "name": view.name, "uid": view.uid}
        self.run_event("DELETED", {"metadata": meta})

    def workflow_event(self, kind: str | None, body: Any) -> None:
        """Take in a Workflow."""
        meta = body["metadata"]
        key = (meta["namespace"], meta["name"])
        if kind == "DELETED":
            self.cache.workflows.pop(key, None)
            self.recorder.forget(meta["uid"])
            return
        view = self.cache.put_workflow(body)
        if view is None:
            return
        if view.generation != view.observed_generation:
            self.queue.add(("Workflow", *key), Rank.LATER if kind is None else Rank.USUAL)
        self.runs.workflow_appeared(key[0])

    def job_event(self, kind: str, body: Any) -> None:
        """Take in a Job of a run."""
        if kind == "LOST":
            view = self.cache.lose_job(body["metadata"]["uid"])
        elif kind == "DELETED":
            view = job_view(body)
            if view is not None:
                self.cache.drop_job(view)
        else:
            view = self.cache.put_job(body)
        if kind in ("LOST", "DELETED"):
            self.cache.bury(body)
        if view is not None:
            self.runs.job_changed(view)
            self.keeper.changed(view.uid)

    def pod_event(self, kind: str, body: Any) -> None:
        """Take in a Pod of a run."""
        if kind == "LOST":
            job = self.cache.lose_pod(body["metadata"]["uid"])
        elif kind == "DELETED":
            known = self.cache.put_pod(body) if self.cache.has_pod(body) else None
            job = self.cache.lose_pod(body["metadata"]["uid"]) if known is not None else None
        else:
            known = self.cache.put_pod(body)
            if known is None:
                return
            job = known[1]
            if known[0].finalizer is not None:
                self.keeper.changed(known[0].job_uid)
        if kind in ("LOST", "DELETED"):
            self.cache.bury(body)
        if job is not None:
            self.runs.job_changed(job)

    def _count(self, workflow: str, namespace: str) -> None:
        name = self.cache.find_workflow(namespace, workflow) if workflow else None
        if name is not None:
            self.queue.add_after(("Workflow", namespace, name), COUNT_SECONDS)

    # The work

    async def lead(self, leader: Leader) -> None:
        """Become the leader, and stay it. Raises `LeadershipLostError`, `ApiError`."""
        self.runs.settle(await leader.acquire())
        self.metrics.leading.set(1)
        self._leading.set()
        await leader.keep()

    async def start(self, reflectors: Sequence[Reflector], leader: Leader | None) -> None:
        """Let the work begin once all Jobs and Pods are known: what is missing is not there."""
        for reflector in reflectors:
            await reflector.synced.wait()
        await self.watching.wait()
        if leader is not None:
            self.ready.set()  # to take over: a rollout waits for that
            await self._leading.wait()
        for job in self.cache.bound():
            self.keeper.changed(job)
        self.ready.set()
        self._begun.set()

    async def _from_then_on(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await self._begun.wait()
        await work()

    def workers(self, housekeeping: Housekeeping) -> list[asyncio.Task[None]]:
        """Make the tasks that work, for ever, from the start on.

        Before kopf makes its own: at its end it cancels whatever came after.
        """
        work = [housekeeping.run, *[self.work] * WORKERS, *[self.keeper.work] * KEEPERS]
        return [asyncio.create_task(self._from_then_on(each), name="worker") for each in work]

    async def work(self) -> None:
        """Take keys and work on them, for ever. No object stops this."""
        while True:
            key = await self.queue.get()
            self._busy[key] = time.monotonic()
            try:
                await self._one(key)
            finally:
                del self._busy[key]
                self.queue.done(key)

    async def _one(self, key: QueueKey) -> None:
        with self.metrics.turn(key[0]):
            outcome = await self._try(key)
        self.metrics.outcomes.labels(key[0], outcome).inc()

    async def _try(self, key: QueueKey) -> str:
        """Work on a key; return how it went, in one word."""
        kind, namespace, name = key
        try:
            if kind == "Workflow":
                await self.workflows.reconcile((namespace, name))
            elif kind == "Status":
                await self.runs.flush((namespace, name))
            else:
                await self.runs.reconcile((namespace, name))
        except ApiError as error:
            if error.namespace_terminating:
                log.info("%s %s/%s: the namespace is being deleted", *key)
            elif error.status == 409:
                self._again(key, None, CONFLICT_SECONDS)
            elif error.status == 404 and kind != "Workflow":
                log.info("%s %s/%s: %s", *key, error)
                self._again(key, None)
            else:
                log.warning("%s %s/%s: %s", *key, error)
                self._again(key, None if error.transient else error)
        except ConflictError:
            log.info("%s %s/%s: the status changed under us: read again", *key)
            self._again(key, None, CONFLICT_SECONDS)
        except Exception as error:
            log.exception("%s %s/%s is set aside for a while", *key)
            self._again(key, error)
        else:
            self._went_well(key)
            return "success"
        return "error"

    def _went_well(self, key: QueueKey) -> None:
        """Forget the failures of a key; those of a run only when what it owes could be written."""
        kind, namespace, name = key
        owes = self.runs.owes((namespace, name)) if kind != "Workflow" else None
        if kind == "Status" and owes is not None:
            self._failures.pop(("WorkflowRun", namespace, name), None)
        elif kind != "Status" and not owes:
            self._failures.pop(key, None)

    def _again(
        self,
        key: QueueKey,
        error: Exception | None,
        bounds: tuple[float, float] = BACKOFF_SECONDS,
    ) -> None:
        """Try a key again later; say so on the object when it is not the server's fault."""
        if key[0] == "Status":  # the run was dropped: it is read and taken up again
            key = ("WorkflowRun", key[1], key[2])
        times = self._failures[key] = self._failures.get(key, 0) + 1
        wait = backoff(times, bounds)
        self.queue.add_after(key, wait)
        view = self.cache.runs.get((key[1], key[2])) if key[0] == "WorkflowRun" else None
        if error is not None and view is not None and times in (1, 5):
            subject = Subject("WorkflowRun", view.namespace, view.name, view.uid)
            message = f"the operator cannot go on with this run: {type(error).__name__}: {error}"
            self.recorder.warn(subject, "Stalled", f"{message}; tried again in {wait:g} s")

    # Health

    def unhealthy(self) -> str:
        """Say what is wrong, nothing if all is well."""
        now = time.monotonic()
        stuck = [key for key, since in self._busy.items() if now - since > STUCK_SECONDS]
        return f"stuck: {stuck[:3]}" if stuck else ""

    def unready(self) -> str:
        """Say why the operator does not work yet, nothing if it does."""
        return "" if self.ready.is_set() else "the watches have not begun"


def _rank(kind: str | None, before: RunView | None, after: RunView | None) -> Rank:
    """Say how soon a run comes: `kind` is None for one that was listed."""
    if before is not None and after is not None:
        same = (after.generation, after.annotations) == (before.generation, before.annotations)
        return Rank.USUAL if same else Rank.ASKED  # such as a cancel, which must not wait
    return Rank.LATER if kind is None or before is None else Rank.USUAL


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT, or until a part of it fails for good."""
    # The election has connections of its own, so that nothing holds it up.
    async with connect() as leases, _leader(settings, leases) as leader:
        fence = leader.check if leader is not None else _open_fence
        metrics = Metrics()
        async with connect(fence, metrics.request) as gateway:
            operator = Operator(gateway, settings, metrics)
            try:
                async with health.serve(
                    settings.liveness_port, operator.unhealthy, operator.unready, metrics.text
                ):
                    await _work(operator, gateway, settings, leader)
            finally:
                # Also when a part of it failed: another one, or the next process, goes on at once.
                if leader is not None and await gateway.drain(DRAIN_SECONDS):
                    await leader.release()


def _open_fence() -> None:
    """Let everything through: there is no other operator."""


@asynccontextmanager
async def _leader(settings: Settings, leases: Gateway) -> AsyncIterator[Leader | None]:
    election = settings.leader_election
    if not election.enabled:
        yield None
        return
    timing = Timing(
        election.lease_duration_seconds,
        election.renew_deadline_seconds,
        election.retry_period_seconds,
        election.request_timeout_seconds,
    )
    namespace = election.namespace or own_namespace() or next(iter(settings.namespaces), "default")
    yield Leader(leases, namespace, f"podium-{settings.installation}", timing=timing)


async def _work(
    operator: Operator, gateway: Gateway, settings: Settings, leader: Leader | None
) -> None:
    reflectors = [
        Reflector(gateway, resource, namespace, selector, sink)
        for namespace in settings.namespaces or [""]
        for resource, selector, sink in (
            ("jobs", LABEL_RUN, operator.job_event),
            ("pods", f"{LABEL_RUN},!{LABEL_RECORDED}", operator.pod_event),
        )
    ]
    gateway.when_behind(operator.keeper.behind)
    housekeeping = Housekeeping(gateway, operator.cache, settings, operator.run_gone)
    start = asyncio.create_task(operator.start(reflectors, leader), name="start")
    tasks = [
        *(asyncio.create_task(each.run(), name="reflector") for each in reflectors),
        *operator.workers(housekeeping),
        asyncio.create_task(operator.recorder.run(), name="events"),
        asyncio.create_task(
            handlers.watch(operator, settings.namespaces, operator.watching), name="watch"
        ),
    ]
    if leader is not None:
        tasks.append(asyncio.create_task(operator.lead(leader), name="lease"))
    # SIGTERM and SIGINT end the watch, in good order; nothing else ends by itself.
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in (start, *tasks):
        task.cancel()
    await asyncio.gather(start, *tasks, return_exceptions=True)
    for task in done:
        if task.cancelled() or task.exception() is not None or task.get_name() != "watch":
            # Nothing must go on half dead: the process ends, and starts again.
            raise RuntimeError(f"{task.get_name()} ended") from (
                None if task.cancelled() else task.exception()
            )
