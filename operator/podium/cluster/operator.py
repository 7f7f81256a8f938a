"""The operator: event source, queues and controllers, put together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from podium.api.names import LABEL_RECORDED, LABEL_RUN
from podium.cluster import collector, health
from podium.cluster.contract_controller import ContractController
from podium.cluster.garbage_collector import GarbageCollector
from podium.cluster.jobs.controller import ManagedJobController
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.connection import connect, own_namespace
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.events import Recorder
from podium.cluster.kube.leader_election import Leader, Timing
from podium.cluster.kube.views import JobView
from podium.cluster.loop_lag import measure_lag
from podium.cluster.metrics import Metrics
from podium.cluster.preload import preload
from podium.cluster.runs.controller import RunController
from podium.cluster.runs.flusher import StatusFlusher
from podium.cluster.runs.revisions import Definitions
from podium.cluster.settings import Settings
from podium.cluster.watch import kopf_source
from podium.cluster.watch.ingest import Ingest
from podium.cluster.watch.reflector import Reflector
from podium.cluster.watch.store import InformerCache, RunKey
from podium.cluster.worker import STUCK_SECONDS, ObjectKey, Worker, by_kind, waiting_for_others
from podium.cluster.workflow_controller import WorkflowController
from podium.cluster.workqueue import KeyQueue, Priority
from podium.judge.pool import JudgeError, Pool
from podium.judge.reader import Reader

__all__ = ["Operator", "run"]

log = logging.getLogger(__name__)

WORKERS = 21
"""Three quarters of them may be busy with the runs of one namespace (`workqueue.SHARE`), two thirds
with those of all that have the judge work for long (`workqueue.SLOW_SHARE`)."""
JOB_WORKERS = 8
DRAIN_SECONDS = 5.0
COUNT_SECONDS = 10.0
"""A Workflow's count of runs is written at most this often."""


class Operator:
    """The parts of one operator. What the events tell goes to the queues from here."""

    def __init__(self, client: KubernetesClient, settings: Settings, metrics: Metrics) -> None:
        self.cache = InformerCache()
        self.judge = Pool(waiting=waiting_for_others)
        self.queue: KeyQueue[ObjectKey] = KeyQueue(
            lambda key: key.namespace, workers=WORKERS, is_slow=self.judge.is_slow
        )
        self.metrics = metrics
        self.recorder = Recorder(client)
        self.reader = reader = Reader(self.judge, settings.offered)
        self.definitions = Definitions(
            client, self.cache, reader, allows_executors=settings.allow_executors
        )
        self.jobs = ManagedJobController(client, self.cache, settings)
        self.runs = RunController(
            client,
            self.cache,
            self.queue,
            self.recorder,
            self.definitions,
            self.jobs,
            settings,
            metrics,
            self.judge,
        )
        self.cache.on_count = self.runs_changed
        self.ingest = Ingest(self.cache, self)
        self.worker: Worker[ObjectKey] = Worker(
            self.queue,
            by_kind(
                {
                    "WorkflowRun": self.runs,
                    "Status": StatusFlusher(self.runs),
                    "Workflow": WorkflowController(
                        client,
                        self.cache,
                        self.recorder,
                        reader,
                        self.definitions.executors,
                        self.runs.workflow_appeared,
                    ),
                    "ContractSchema": ContractController(client, self.recorder, reader),
                }
            ),
            metrics,
            retry_as=_retry_as,
        )
        self.job_worker: Worker[str] = Worker(
            self.jobs.queue, lambda _: ("Job", self.jobs), metrics
        )
        metrics.depth.set_function(lambda: len(self.queue))
        metrics.running.set_function(self.cache.live.total)
        for kind, count in {**self.cache.counts(), "active": self.runs.active}.items():
            metrics.kept.labels(kind).set_function(count)
        self.watching = asyncio.Event()
        """Set once runs and Workflows are listed."""
        self.ready = asyncio.Event()
        self._leading = asyncio.Event()
        self._begun = asyncio.Event()

    # What the events tell

    def run_changed(self, key: RunKey, priority: Priority) -> None:
        """Queue a run."""
        self.queue.add(ObjectKey("WorkflowRun", *key), priority)

    def runs_changed(self, namespace: str, workflow: str) -> None:
        """Count the runs of a Workflow again, a little later."""
        name = self.cache.find_workflow(namespace, workflow) if workflow else None
        if name is not None:
            self.queue.add_after(ObjectKey("Workflow", namespace, name), COUNT_SECONDS)

    def workflow_changed(self, key: RunKey, priority: Priority) -> None:
        """Queue a Workflow."""
        self.queue.add(ObjectKey("Workflow", *key), priority)

    def contract_schema_changed(self, namespace: str, name: str) -> None:
        """Queue a ContractSchema."""
        self.queue.add(ObjectKey("ContractSchema", namespace, name), Priority.LOW)

    def workflow_appeared(self, namespace: str) -> None:
        """Queue the runs that wait for a Workflow."""
        self.runs.workflow_appeared(namespace)

    def job_changed(self, job: JobView) -> None:
        """Queue the run of a Job."""
        self.runs.job_changed(job)

    def managed_job_changed(self, job_uid: str) -> None:
        """Queue a Job."""
        self.jobs.changed(job_uid)

    def forget_events(self, uid: str) -> None:
        """Forget how many Events an object had."""
        self.recorder.forget(uid)

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
        for job in self.cache.jobs_with_finalizers():
            self.jobs.changed(job)
        self.runs.begin()
        self.ready.set()
        self._begun.set()

    async def _from_then_on(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await self._begun.wait()
        await work()

    def tasks(self, garbage_collector: GarbageCollector) -> list[asyncio.Task[None]]:
        """Make the tasks that work from the start on, until cancelled.

        Before kopf makes its own: at its end it cancels whatever came after.
        """
        work: list[Callable[[], Coroutine[Any, Any, None]]] = [
            self.judge.run,
            garbage_collector.run,
            *[self.worker.run] * WORKERS,
            *[self.job_worker.run] * JOB_WORKERS,
        ]
        return [asyncio.create_task(self._from_then_on(each), name="worker") for each in work]

    async def refusal(self, data: bytes, namespace: str) -> str:
        """Return why an object of a namespace is not to be read; empty: it is. Raises `ApiError`.

        A fault of the workers is not told as one of the object, and does not let it in either.
        """
        try:
            return await self.reader.refusal(data, asker=namespace)
        except JudgeError as error:
            message = f"it is large, and no worker could say whether it may be read ({error})"
            raise ApiError(200, "NotRead", message) from None

    # Health

    def unhealthy(self) -> str:
        """Describe what is wrong; empty if all is well."""
        stuck = [*map(str, self.worker.stuck()), *self.job_worker.stuck()]
        if self.judge.stalled > STUCK_SECONDS:
            stuck.append("the judge, which answers nothing")
        return f"stuck: {', '.join(stuck[:3])}" if stuck else ""

    def unready(self) -> str:
        """Describe why the operator does not work yet; empty if it does."""
        return "" if self.ready.is_set() else "the watches have not begun"


def _retry_as(key: ObjectKey) -> ObjectKey:
    """Return the key by which a failed one is tried again.

    A run whose status could not be written is dropped: it is read and taken up again.
    """
    return key._replace(kind="WorkflowRun") if key.kind == "Status" else key


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT, or until a part of it fails for good."""
    preload()
    collector.set_up()
    # The election has connections of its own, so that nothing holds it up.
    async with connect() as leases, _leader(settings, leases) as leader:
        fence = leader.check if leader is not None else _open_fence
        metrics = Metrics()
        async with connect(fence, metrics.request) as client:
            operator = Operator(client, settings, metrics)
            try:
                async with health.serve(
                    settings.liveness_port, operator.unhealthy, operator.unready, metrics.text
                ):
                    await _work(operator, client, settings, leader)
            finally:
                # Also when a part of it failed: another one, or the next process, goes on at once.
                if leader is not None and await client.drain(DRAIN_SECONDS):
                    await leader.release()


def _open_fence() -> None:
    """Let everything through: there is no other operator."""


@asynccontextmanager
async def _leader(settings: Settings, leases: KubernetesClient) -> AsyncIterator[Leader | None]:
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
    operator: Operator, client: KubernetesClient, settings: Settings, leader: Leader | None
) -> None:
    ingest = operator.ingest
    reflectors = [
        Reflector(client, resource, namespace, selector, sink)
        for namespace in settings.namespaces or [""]
        for resource, selector, sink in (
            ("jobs", LABEL_RUN, ingest.job_event),
            ("pods", f"{LABEL_RUN},!{LABEL_RECORDED}", ingest.pod_event),
            ("workflowruns", "", ingest.run_metadata_event),
        )
    ]
    # Nothing waits for these to be listed: a run reads the ContractSchemas that it names.
    contracts = [
        Reflector(client, "contractschemas", namespace, "", ingest.contract_schema_event)
        for namespace in settings.namespaces or [""]
    ]
    client.lanes.is_lagging = operator.jobs.is_lagging
    client.refusal = operator.refusal
    garbage_collector = GarbageCollector(
        client,
        operator.cache,
        settings,
        ingest.freed,
        operator.definitions.is_needed,
    )
    start = asyncio.create_task(operator.start(reflectors, leader), name="start")
    tasks = [
        *(asyncio.create_task(each.run(), name="reflector") for each in (*reflectors, *contracts)),
        *operator.tasks(garbage_collector),
        asyncio.create_task(operator.recorder.run(), name="events"),
        asyncio.create_task(measure_lag(operator.metrics.loop_lag.observe), name="loop lag"),
        asyncio.create_task(collector.collect_rarely(), name="collector"),
        asyncio.create_task(
            kopf_source.watch(ingest, settings.namespaces, operator.watching), name="watch"
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
