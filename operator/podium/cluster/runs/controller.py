"""The loop of cluster runs: a turn takes in what was seen, steps the engine, launches what is due.

What turns changed is written by a flush, which runs beside them: a status patch when one is due,
and after it what may be done only once it is recorded. A crash between any two is repaired by the
next turn: names are derived, so nothing starts twice, and a run that is taken up is told of all
that is alive.
"""

import time
from typing import Any

from podium.api.problems import InvalidError
from podium.api.resources import WorkflowRun
from podium.api.run import NodeState
from podium.api.source.files import parse
from podium.cluster.jobs.controller import JobKeeper
from podium.cluster.kube.client import Gateway
from podium.cluster.kube.events import Recorder, Subject
from podium.cluster.kube.views import JobView, RunView, dig
from podium.cluster.metrics import Metrics
from podium.cluster.runs import requests
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.attempts import Attempts
from podium.cluster.runs.loader import Opener, words
from podium.cluster.runs.revisions import Definitions, WorkflowNotFoundError
from podium.cluster.runs.shards import LostError, read_nodes
from podium.cluster.runs.status_writer import StatusWriter, TooLargeError
from podium.cluster.settings import Settings
from podium.cluster.watch.store import Cache, RunKey
from podium.cluster.workqueue import KeyQueue
from podium.engine import (
    Control,
    Emit,
    Launch,
    Plan,
    Request,
    RerunRequest,
    RestoreRequest,
    Stop,
    WakeAt,
    initial_context,
    load_status,
)

__all__ = ["QueueKey", "RunController"]

QueueKey = tuple[str, str, str]
"""Kind, namespace and name. Of the kind Status: the status of that run is to be written."""

LAUNCH_SECONDS = 0.2
"""A write that can wait waits for launches, at most this long."""


class RunController:
    """Works on runs."""

    def __init__(
        self,
        gateway: Gateway,
        cache: Cache,
        queue: KeyQueue[QueueKey],
        recorder: Recorder,
        definitions: Definitions,
        keeper: JobKeeper,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._gateway = gateway
        self._cache = cache
        self._queue = queue
        self._recorder = recorder
        self._definitions = definitions
        self._keeper = keeper
        self._settings = settings
        self._writer = StatusWriter(gateway, cache)
        self._opener = Opener(gateway, cache, recorder, definitions, self._writer, settings)
        self._metrics = metrics
        self._attempts = Attempts(gateway, cache, keeper, settings, self._wake, metrics)
        self._runs: dict[RunKey, ActiveRun] = {}

    # What the handlers call

    def job_changed(self, job: JobView) -> None:
        """Note that something of a Job changed."""
        key = self._cache.keys.get(job.run_uid)
        if key is None:
            return
        run = self._runs.get(key)
        if run is not None:
            run.dirty.add(job.name)
        self._queue.add(("WorkflowRun", *key))

    def workflow_appeared(self, namespace: str) -> None:
        """Look again at runs whose Workflow was not there."""
        for key in self._opener.waiting.pop(namespace, ()):
            self._queue.add(("WorkflowRun", *key))

    def active(self) -> int:
        """Count the runs that are worked on."""
        return len(self._runs)

    def owes(self, key: RunKey) -> bool | None:
        """Return whether something of a run waits to be written; None: it is not worked on."""
        run = self._runs.get(key)
        return run.owes if run is not None else None

    def forget(self, key: RunKey) -> None:
        """Drop what is kept of a run."""
        run = self._runs.pop(key, None)
        if run is not None:
            for task in run.tasks:  # whoever takes the run up decides by what is recorded by then
                task.cancel()
            self._recorder.forget(run.subject.uid)
        self._opener.forget(key)

    def _wake(self, run: ActiveRun) -> None:
        if self._runs.get(run.key) is run:
            self._queue.add(("WorkflowRun", *run.key))

    def settle(self, seconds: float) -> None:
        """Launch nothing for a while: what an earlier leader sent may still arrive."""
        self._attempts.launch_after = time.monotonic() + seconds

    # The work on one run

    async def reconcile(self, key: RunKey) -> None:
        """Do what there is to do for a run. Raises `ApiError`, `ConflictError`."""
        view = self._cache.runs.get(key)
        if view is None or view.deleting:
            self.forget(key)
            return
        run = self._runs.get(key)
        if run is not None and run.owner.uid != view.uid:  # deleted and made again
            self.forget(key)
            run = None
        view = await self._accept(view)
        try:
            if run is None:
                if view.ended and requests.ACCEPTED not in view.annotations:
                    await self._ended(view)
                    return
                run = await self._opener.open(view)
                if run is None:
                    return
                self._runs[key] = run
                self._attempts.adopt(run)
            await self._turn(run, view)
        except BaseException:
            # The engine may be ahead of the status: what is read next time is the truth.
            self.forget(key)
            raise

    async def _turn(self, run: ActiveRun, view: RunView) -> None:
        asked, refused = await self._requests(run, view)
        seen = await self._attempts.look(run)
        if self._runs.get(run.key) is not run:
            return  # a flush failed meanwhile: whoever takes the run up looks again
        control = Control(view.suspend, view.cancel)
        actions = run.engine.step(time.time(), observations=seen, requests=asked, control=control)
        self._attempts.note(run)
        wake: float | None = None
        for action in actions:
            match action:
                case Launch():
                    self._attempts.launch(run, action)
                case Stop():
                    run.stops.append(action)
                case Emit():
                    run.events.append(action)
                case WakeAt():
                    wake = action.at
        run.refused.update(refused)
        if asked or refused or run.stops or run.remove or view.generation != run.generation:
            run.urgent = True
        self._plan_flush(run)
        key = ("WorkflowRun", *run.key)
        if wake is not None:
            self._queue.add_after(key, wake - time.time())
        if not run.owes:
            await self._let_go(run)

    def _plan_flush(self, run: ActiveRun) -> None:
        """Say when the next write is due."""
        if not run.owes:
            return
        key = ("Status", *run.key)
        if run.urgent or run.engine.status.phase.ended:
            self._queue.add(key)
            return
        due = self._writer.due(run)
        if run.tasks:  # what is being launched is written as running, once
            due = max(due, time.monotonic() + LAUNCH_SECONDS)
        self._queue.add_at(key, due)

    async def flush(self, key: RunKey) -> None:
        """Write what changed of a run, then do what had to wait for it.

        Raises `ApiError`, `ConflictError`.
        """
        run, view = self._runs.get(key), self._cache.runs.get(key)
        if run is None or view is None or view.uid != run.owner.uid:
            return
        try:
            await self._flush(run, view)
        except TooLargeError as error:
            self.forget(key)
            self._recorder.warn(run.subject, "StatusTooLarge", str(error))
            self._queue.add(("WorkflowRun", *key))
        except BaseException:
            self.forget(key)
            raise

    async def _flush(self, run: ActiveRun, view: RunView) -> None:
        stops, run.stops = run.stops, []
        events, run.events = run.events, []
        ended, run.ended = run.ended, {}
        spent, run.spent = run.spent, []
        remove, run.remove = run.remove, set()
        refused, run.refused = run.refused, {}
        run.urgent = False
        changes = run.engine.take_changes()
        if changes or view.generation != run.generation:
            await self._writer.write(run, view.generation, changes)
            # As it is now: a request may have been accepted meanwhile, which must stay.
            view = self._cache.runs.get(run.key, view)
        for event in events:
            self._recorder.record(run.subject, event)
        await self._clear_requests(run, view, refused)
        await self._attempts.carry_out(run, stops, remove, ended, spent)
        if stops:
            self._wake(run)  # perhaps nothing of them ran any more
        self._plan_flush(run)
        await self._let_go(run)

    async def _let_go(self, run: ActiveRun) -> None:
        """Let a run go that has ended and owes nothing."""
        if run.idle and run.engine.status.phase.ended and self._runs.get(run.key) is run:
            self.forget(run.key)
            self._metrics.ended.labels(run.engine.status.phase.value).inc()
            view = self._cache.runs.get(run.key)
            if view is not None and view.ended:
                await self._ended(view)

    async def _ended(self, view: RunView) -> None:
        """Clean up after a run that ended, perhaps under an earlier operator."""
        live: dict[str, Any] | None = None
        states: dict[str, NodeState] | None = None
        for job in list(self._cache.jobs(view.uid).values()):
            if job.deleting or self._keeper.owes(job):
                continue
            pods = self._cache.pods(job.uid)
            over = job.ended or any(not pod.alive and not pod.gone for pod in pods)
            if self._keeper.done(job) or not (over or self._attempts.may_run(job)):
                continue
            if live is None:
                # The view may be older than a re-run: ask before anything is let go or deleted.
                live = await self._gateway.get_run(view.namespace, view.name)
                if dig(live, "metadata", "resourceVersion") != view.version:
                    return  # it comes again, as it is now
            if over:
                succeeded = job.complete or any(pod.phase == "Succeeded" for pod in pods)
                self._keeper.recorded(job, succeeded=succeeded)
                continue
            if states is None:
                states = await self._states(live)
            if not self._attempts.recall(job, states):
                await self._gateway.delete_job(job.namespace, job.name, job.uid)
        if view.ttl is not None and view.completed_at is not None:
            left = view.completed_at + view.ttl - time.time()
            if left <= 0:
                await self._gateway.delete_run(view.namespace, view.name, view.uid, view.version)
            else:
                self._queue.add_after(("WorkflowRun", view.namespace, view.name), left)

    async def _states(self, body: dict[str, Any]) -> dict[str, NodeState]:
        meta, status = body["metadata"], body.get("status") or {}
        where = meta["namespace"], meta["name"], meta["uid"]
        try:
            nodes, _ = await read_nodes(self._gateway, *where, status)
            return load_status({**status, "nodes": nodes}).nodes
        except (ValueError, LostError):  # somebody wrote into it, or deleted it
            return {}

    # Requests

    async def _accept(self, view: RunView) -> RunView:
        """Turn requests in annotations into accepted ones; refuse what cannot be understood."""
        subject = Subject("WorkflowRun", view.namespace, view.name, view.uid)
        accepted = requests.load_accepted(view.annotations)
        if accepted is None:
            self._recorder.warn(
                subject,
                "RerunRefused",
                f"annotation {requests.ACCEPTED} was damaged and is removed: it is Podium's own,"
                f" set {requests.RERUN} instead",
            )
            view = await self._patch_metadata(
                view, requests.remove(view.annotations, view.version, [])
            )
            accepted = []
        new = requests.asked(view.annotations, view.uid, view.version)
        if new is None:
            return view
        for refusal in new.refusals:
            self._recorder.warn(subject, "RerunRefused", refusal)
        for request in new.requests:
            if any(request.id == each.id for each in accepted):
                continue
            if not requests.fit([*accepted, request]):
                message = (
                    f"{len(accepted)} requests wait already, with this one they are too many or too"
                    f" long (at most {requests.MOST}, of {requests.MOST_BYTES} bytes): ask again"
                    " when they are carried out"
                )
                self._recorder.warn(subject, "RerunRefused", message)
                continue
            accepted.append(request)
        return await self._patch_metadata(
            view, requests.take(view.annotations, view.version, accepted)
        )

    async def _patch_metadata(self, view: RunView, operations: list[dict[str, Any]]) -> RunView:
        body = await self._gateway.patch_run(view.namespace, view.name, operations)
        run = self._runs.get((view.namespace, view.name))
        if run is not None and run.version == view.version:
            run.version = str(dig(body, "metadata", "resourceVersion"))
        return self._cache.put_run(body) or view

    async def _requests(
        self, run: ActiveRun, view: RunView
    ) -> tuple[list[Request], dict[str, str]]:
        """Make engine requests of the accepted ones; what cannot be one is refused by its id."""
        made: list[Request] = []
        refused: dict[str, str] = {}
        for request in requests.load_accepted(view.annotations) or []:
            if request.id in run.engine.status.handled_requests or request.id in run.refused:
                run.urgent = True  # it is to be taken out, which a crash may have prevented
                continue
            if request.kind == "restore":
                made.append(RestoreRequest(request.id, request.version))
                continue
            plan = context = None
            if request.latest:
                try:
                    plan = await self._latest(run, view)
                except (InvalidError, WorkflowNotFoundError) as problem:
                    refused[request.id] = f"revision latest: {words(problem)}"
                    continue
                body = await self._gateway.get_run(*run.key)
                resource = parse(body)
                assert isinstance(resource, WorkflowRun)  # noqa: S101 - for the type checker
                context = initial_context(plan, resource.spec)
            made.append(
                RerunRequest(
                    request.id,
                    request.nodes,
                    request.cascade,
                    request.context,
                    plan,
                    context,
                )
            )
        return made, refused

    async def _latest(self, run: ActiveRun, view: RunView) -> Plan:
        if not view.workflow:
            raise WorkflowNotFoundError("")
        return await self._definitions.latest(run.owner.namespace, view.workflow)

    async def _clear_requests(self, run: ActiveRun, view: RunView, refused: dict[str, str]) -> None:
        """Take out of `accepted` what was carried out or refused."""
        accepted = requests.load_accepted(view.annotations)
        if not accepted:
            return
        recorded = run.known.get("handledRequests") or []
        left = [
            request
            for request in accepted
            if request.id not in recorded and request.id not in refused
        ]
        for message in refused.values():
            self._recorder.warn(run.subject, "RerunRefused", message)
        if len(left) < len(accepted):
            await self._patch_metadata(view, requests.remove(view.annotations, view.version, left))
