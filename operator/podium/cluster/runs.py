"""The loop of cluster runs: one turn takes in what was seen, steps the engine, carries out.

Order of a turn: Jobs are created, then one status patch says so, then what the patch made
superfluous is removed. A crash between any two is repaired by the next turn: names are derived, so
nothing starts twice, and the first turn after a start asks the server for all that is alive.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from podium.api.files import parse
from podium.api.names import LABEL_RUN, label_value
from podium.api.problems import InvalidError, Problem
from podium.api.resources import WorkflowRun
from podium.api.run import ConditionStatus, NodeStatus, RunPhase, WorkflowRunStatus
from podium.cluster import requests
from podium.cluster.cache import Cache, RunKey
from podium.cluster.definitions import Definitions, WorkflowNotFoundError
from podium.cluster.gateway import ApiError, Gateway
from podium.cluster.jobs import BuildProblem, Owner, build_job, job_name
from podium.cluster.observe import observe
from podium.cluster.queue import KeyQueue
from podium.cluster.recorder import Recorder, Subject
from podium.cluster.settings import Settings
from podium.cluster.views import JobView, PodView, RunView, dig
from podium.engine.codec import dump_node, dump_status, load_status
from podium.engine.conditions import set_condition
from podium.engine.engine import Changes, Engine
from podium.engine.model import (
    AttemptPhase,
    Control,
    Emit,
    Launch,
    Observation,
    Request,
    RerunRequest,
    RestoreRequest,
    RunInfo,
    Stop,
    WakeAt,
)
from podium.engine.plan import Plan
from podium.engine.start import check_start, initial_context, initial_status

__all__ = ["QueueKey", "RunController"]

log = logging.getLogger(__name__)

QueueKey = tuple[str, str, str]
"""Kind, namespace and name."""

CONFLICTS = 5
RESYNC_SECONDS = 300.0
LIMIT_SECONDS = 1.0
QUOTA_SECONDS = (5.0, 60.0)
_POD_REFUSED = "PodRefused"


@dataclass(frozen=True, slots=True)
class _Execution:
    """What a Job runs."""

    node: str
    id: str
    restart: int
    uid: str
    """UID of the Job; empty: it was gone before anybody saw it."""


@dataclass(slots=True)
class _Run:
    """A run that is being worked on."""

    owner: Owner
    subject: Subject
    engine: Engine
    spec_limit: int
    known: dict[str, Any]
    """The status as the server has it."""
    version: str
    generation: int
    executions: dict[str, _Execution] = field(default_factory=dict)
    """By name of the Job."""
    dirty: set[str] = field(default_factory=set)
    """Jobs of which something changed."""
    stopping: set[tuple[str, str]] = field(default_factory=set)
    """Node and execution of what was told to stop and is not known to be gone."""
    ended: dict[str, bool] = field(default_factory=dict)
    """Jobs whose outcome was given to the engine: whether they succeeded."""
    remove: set[str] = field(default_factory=set)
    """Jobs that do not end by themselves although their outcome is decided."""
    stuck: dict[str, float] = field(default_factory=dict)
    """Since when (monotonic) Pods wait for their image or configuration."""
    why: dict[str, Observation] = field(default_factory=dict)
    """What the Events of Jobs without a Pod said."""
    refusals: dict[str, int] = field(default_factory=dict)
    """How often nodes were refused in a row."""
    resync_at: float = 0.0

    @property
    def key(self) -> RunKey:
        return self.owner.namespace, self.owner.name


class _Conflict(Exception):  # noqa: N818 - a signal inside this module
    """The status on the server is not the one that this operator wrote last."""


class RunController:
    """Works on runs."""

    def __init__(
        self,
        gateway: Gateway,
        cache: Cache,
        queue: KeyQueue[QueueKey],
        recorder: Recorder,
        definitions: Definitions,
        settings: Settings,
    ) -> None:
        self._gateway = gateway
        self._cache = cache
        self._queue = queue
        self._recorder = recorder
        self._definitions = definitions
        self._settings = settings
        self._runs: dict[RunKey, _Run] = {}
        self.waiting: dict[str, set[RunKey]] = {}
        """Runs whose Workflow does not exist, by namespace."""

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

    def forget(self, key: RunKey) -> None:
        """Drop what is kept of a run."""
        run = self._runs.pop(key, None)
        if run is not None:
            self._recorder.forget(run.subject.uid)
        for names in self.waiting.values():
            names.discard(key)

    # The work on one run

    async def reconcile(self, key: RunKey) -> None:
        """Do what there is to do for a run."""
        view = self._cache.runs.get(key)
        if view is None or view.deleting:
            self.forget(key)
            return
        run = self._runs.get(key)
        if run is not None and run.owner.uid != view.uid:  # deleted and made again
            self.forget(key)
            run = None
        view = await self._accept(view)
        if run is None:
            if view.ended and not self._wanted(view):
                await self._ended(view)
                return
            run = await self._open(view)
            if run is None:
                return
            self._runs[key] = run
        try:
            await self._turn(run, view)
        except _Conflict:
            log.info("%s/%s: the status changed under us: read again", *key)
            self.forget(key)
            self._queue.add_after(("WorkflowRun", *key), 0.1)
        except BaseException:
            # The engine is ahead of the status: what is read next time is the truth.
            self.forget(key)
            raise

    def _wanted(self, view: RunView) -> bool:
        """Tell whether somebody asked something of an ended run."""
        return requests.ACCEPTED in view.annotations

    async def _ended(self, view: RunView) -> None:
        """Clean up after a run that ended, perhaps under an earlier operator."""
        for job in list(self._cache.jobs(view.uid).values()):
            if job.ended and not job.has_ttl and not job.deleting:
                await self._set_ttl(job, succeeded=job.complete)
            elif not job.ended and not job.deleting and self._may_run(job):
                # The view may be older than a re-run: ask before anything is deleted.
                live = await self._gateway.get_run(view.namespace, view.name)
                if dig(live, "metadata", "resourceVersion") == view.version:
                    await self._gateway.delete_job(job.namespace, job.name, job.uid)
        if view.ttl is not None and view.completed_at is not None:
            left = view.completed_at + view.ttl - time.time()
            if left <= 0:
                await self._gateway.delete_run(view.namespace, view.name, view.uid)
            else:
                self._queue.add_after(("WorkflowRun", view.namespace, view.name), left)

    def _may_run(self, job: JobView) -> bool:
        """Tell whether a Job that has not ended may have a living Pod, now or later."""
        pods = self._cache.pods(job.uid)
        return not pods or any(pod.alive for pod in pods)

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
        ids = {request.id for request in accepted}
        accepted += [request for request in new.requests if request.id not in ids]
        return await self._patch_metadata(
            view, requests.take(view.annotations, view.version, accepted)
        )

    async def _patch_metadata(self, view: RunView, operations: list[dict[str, Any]]) -> RunView:
        body = await self._gateway.patch_run(view.namespace, view.name, operations)
        run = self._runs.get((view.namespace, view.name))
        if run is not None and run.version == view.version:
            run.version = str(dig(body, "metadata", "resourceVersion"))
        return self._cache.put_run(body) or view

    async def _requests(self, run: _Run, view: RunView) -> tuple[list[Request], dict[str, str]]:
        """Make engine requests of the accepted ones; what cannot be one is refused by its id."""
        made: list[Request] = []
        refused: dict[str, str] = {}
        for request in requests.load_accepted(view.annotations) or []:
            if request.id in run.engine.status.handled_requests:
                continue
            if request.kind == "restore":
                made.append(RestoreRequest(request.id, request.version))
                continue
            plan = context = None
            if request.latest:
                try:
                    plan = await self._latest(run, view)
                except (InvalidError, WorkflowNotFoundError) as problem:
                    refused[request.id] = f"revision latest: {_words(problem)}"
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

    async def _latest(self, run: _Run, view: RunView) -> Plan:
        if not view.workflow:
            raise WorkflowNotFoundError("")
        return await self._definitions.latest(run.owner.namespace, view.workflow)

    async def _clear_requests(self, run: _Run, view: RunView, refused: dict[str, str]) -> None:
        """Take out of `accepted` what was carried out or refused."""
        accepted = requests.load_accepted(view.annotations)
        if not accepted:
            return
        handled = {*run.engine.status.handled_requests, *refused}
        left = [request for request in accepted if request.id not in handled]
        for message in refused.values():
            self._recorder.warn(run.subject, "RerunRefused", message)
        if len(left) < len(accepted):
            await self._patch_metadata(view, requests.remove(view.annotations, run.version, left))

    # Opening

    async def _open(self, view: RunView) -> _Run | None:
        """Build a run's engine from what the server has; None: it cannot go on for now."""
        try:
            body = await self._gateway.get_run(view.namespace, view.name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        if dig(body, "metadata", "uid") != view.uid:
            return None
        known = dig(body, "status")
        known = known if isinstance(known, dict) else {}
        if view.ended and not known.get("nodes"):
            await self._refuse_all(view, "the run never started: make a new one")
            return None
        try:
            resource = parse(body)
        except InvalidError as problem:
            await self._fail_unstarted(body, "InvalidRun", _words(problem), known)
            return None
        assert isinstance(resource, WorkflowRun)  # noqa: S101 - for the type checker
        status = load_status(known) if known.get("nodes") else None
        plan = await self._plan(body, resource, status, known)
        if plan is None:
            return None
        fresh = status is None
        if status is None:
            problems = check_start(plan, resource.spec)
            if problems:
                text = "; ".join(str(problem) for problem in problems)
                await self._fail_unstarted(body, "InvalidContext", text, known)
                return None
            status = initial_status(plan, round(time.time(), 3))
        recorded = resource.spec.recorded_answers
        meta = body["metadata"]
        owner = Owner(
            view.namespace,
            view.name,
            view.uid,
            view.workflow or plan.workflow_id,
            recorded,
        )
        engine = Engine(
            plan,
            RunInfo(
                view.name,
                view.uid,
                resource.spec.max_parallel,
                resource.spec.fail_fast,
                recorded is not None,
            ),
            initial_context(plan, resource.spec),
            status,
        )
        subject = Subject("WorkflowRun", view.namespace, view.name, view.uid, len(plan.nodes))
        run = _Run(
            owner=owner,
            subject=subject,
            engine=engine,
            spec_limit=resource.spec.max_parallel,
            known=known,
            version=str(meta.get("resourceVersion")),
            generation=int(meta.get("generation") or 0),
            resync_at=time.monotonic() + RESYNC_SECONDS,
        )
        if fresh:
            set_condition(status, round(time.time(), 3), "Valid", ConditionStatus.TRUE, "Valid")
            # Written before anything is launched: from now on the run is pinned, and a run
            # without node states never had a Job.
            await self._write(run, Changes(frozenset(plan.nodes), run=True))
        else:
            await self._relist(run)
        return run

    async def _plan(
        self,
        body: dict[str, Any],
        resource: WorkflowRun,
        status: WorkflowRunStatus | None,
        known: dict[str, Any],
    ) -> Plan | None:
        """Return the definition of a run; None: it has no valid one, which its status says now."""
        namespace, name = resource.metadata.namespace, resource.metadata.name
        spec = resource.spec
        try:
            if status is not None and status.workflow_revision:
                return await self._pinned(namespace, status.workflow_revision)
            if spec.workflow_spec is not None:
                if not self._settings.allow_inline_workflows and status is None:
                    message = (
                        "spec.workflowSpec: graphs inside runs are switched off in this cluster:"
                        " name a Workflow in spec.workflowRef"
                    )
                    await self._fail_unstarted(body, "InlineNotAllowed", message, known)
                    return None
                return Plan.build(
                    spec.workflow_spec,
                    workflow_id=spec.workflow_spec.id or name,
                    base=("spec", "workflowSpec"),
                )
            assert spec.workflow_ref is not None  # noqa: S101 - parse() saw to it
            return await self._definitions.latest(namespace, spec.workflow_ref.name)
        except WorkflowNotFoundError as missing:
            if spec.cancel:
                await self._fail_unstarted(
                    body, "Cancelled", "the run was cancelled", known, RunPhase.CANCELLED
                )
                return None
            self.waiting.setdefault(namespace, set()).add((namespace, name))
            message = (
                f"spec.workflowRef.name: there is no Workflow {str(missing)!r} in the namespace"
                f" {namespace}: the run starts when it is applied"
            )
            await self._say_pending(body, "WorkflowNotFound", message, known)
        except InvalidError as problem:
            await self._fail_unstarted(body, "InvalidWorkflow", _words(problem), known)
        return None

    async def _pinned(self, namespace: str, revision: str) -> Plan:
        try:
            return await self._definitions.pinned(namespace, revision)
        except ApiError as error:
            if error.status != 404:
                raise
            message = f"the ControllerRevision {revision}, which the run is pinned to, is gone"
            raise InvalidError([Problem(("status", "workflowRevision"), message)]) from None

    async def _say_pending(
        self, body: dict[str, Any], reason: str, message: str, known: dict[str, Any]
    ) -> None:
        status = _bare_status(known, RunPhase.PENDING)
        now = round(time.time(), 3)
        changed = set_condition(status, now, "Valid", ConditionStatus.FALSE, reason, message)
        if changed or not known:
            await self._write_bare(body, status, known)
            self._recorder.warn(_subject(body), reason, message)

    async def _fail_unstarted(
        self,
        body: dict[str, Any],
        reason: str,
        message: str,
        known: dict[str, Any],
        phase: RunPhase = RunPhase.FAILED,
    ) -> None:
        """End a run that cannot run."""
        now = round(time.time(), 3)
        status = _bare_status(known, phase)
        status.completed_at = now
        message = message[:8000]
        if phase is RunPhase.FAILED:
            set_condition(status, now, "Valid", ConditionStatus.FALSE, reason, message)
        set_condition(status, now, "Succeeded", ConditionStatus.FALSE, reason, message)
        await self._write_bare(body, status, known)
        self._recorder.warn(_subject(body), reason, message)

    async def _write_bare(
        self, body: dict[str, Any], status: WorkflowRunStatus, known: dict[str, Any]
    ) -> None:
        meta = body["metadata"]
        _observed(status, int(meta.get("generation") or 0))
        document = dump_status(status)
        if "nodes" in known:
            document["nodes"] = known["nodes"]
        operations = [
            _at_version(str(meta["resourceVersion"])),
            {"op": "add", "path": "/status", "value": document},
        ]
        answer = await self._gateway.patch_run_status(meta["namespace"], meta["name"], operations)
        self._cache.put_run(answer)

    async def _refuse_all(self, view: RunView, message: str) -> None:
        subject = Subject("WorkflowRun", view.namespace, view.name, view.uid)
        self._recorder.warn(subject, "RerunRefused", message)
        await self._patch_metadata(view, requests.remove(view.annotations, view.version, []))

    async def _relist(self, run: _Run) -> None:
        """Ask the server for all Jobs and Pods of a run."""
        before = self._cache.known_uids(run.owner.uid)
        selector = f"{LABEL_RUN}={label_value(run.owner.name)}"
        # Jobs first: a Pod that ends between the two is then seen with its Job.
        jobs = await self._gateway.list_jobs(run.owner.namespace, selector)
        pods = await self._gateway.list_pods(run.owner.namespace, selector)
        self._cache.relist(run.owner.uid, before, jobs, pods)
        run.dirty.update(self._cache.jobs(run.owner.uid))
        run.dirty.update(run.executions)
        self._find_missing(run)
        run.resync_at = time.monotonic() + RESYNC_SECONDS

    def _find_missing(self, run: _Run) -> None:
        """Look also at executions that run by the status and have no Job on the server."""
        for name in run.dirty:
            self._execution(run, name)
        there = {execution.id for execution in run.executions.values()}
        for node, state in run.engine.status.nodes.items():
            if (
                state.status is NodeStatus.RUNNING
                and state.execution_id is not None
                and state.next_attempt_at is None
                and state.execution_id not in there
            ):
                name = job_name(run.owner.name, run.owner.uid, state.execution_id, 0)
                run.executions[name] = _Execution(node, state.execution_id, 0, "")
                run.dirty.add(name)

    # One turn

    async def _turn(self, run: _Run, view: RunView) -> None:
        if time.monotonic() >= run.resync_at:
            await self._relist(run)
        seen = await self._look(run)
        control = Control(view.suspend, view.cancel)
        asked, refused = await self._requests(run, view)
        stops: list[Stop] = []
        events: list[Emit] = []
        wake: float | None = None
        while True:
            actions = run.engine.step(
                time.time(), observations=seen, requests=asked, control=control
            )
            asked = []
            launches = [action for action in actions if isinstance(action, Launch)]
            stops += [action for action in actions if isinstance(action, Stop)]
            events += [action for action in actions if isinstance(action, Emit)]
            wake = next((a.at for a in actions if isinstance(a, WakeAt)), None)
            if not launches:
                break
            seen = list(await asyncio.gather(*(self._launch(run, each) for each in launches)))
        changes = run.engine.take_changes()
        if changes or view.generation != run.generation:
            run.generation = view.generation
            await self._write(run, changes)
        for event in events:
            self._recorder.record(run.subject, event)
        await self._clear_requests(run, view, refused)
        await self._carry_out(run, stops)
        await self._finish(run, wake)

    async def _finish(self, run: _Run, wake: float | None) -> None:
        """Say when to look at the run again, or let it go."""
        key = ("WorkflowRun", *run.key)
        if run.dirty:
            self._queue.add(key)
        if run.engine.status.phase.ended and not run.stopping and not run.dirty:
            self.forget(run.key)
            view = self._cache.runs.get(run.key)
            if view is not None and view.ended:
                await self._ended(view)
            return
        if wake is not None:
            self._queue.add_after(key, wake - time.time())
        self._queue.add_at(key, run.resync_at)

    # Observing

    async def _look(self, run: _Run) -> list[Observation]:
        """Look at what changed, and at what is being stopped."""
        names, run.dirty = run.dirty, set()
        looked: dict[tuple[str, str], None] = {}
        for name in names:
            execution = self._execution(run, name)
            if execution is not None:
                looked[execution.node, execution.id] = None
        found: list[Observation] = []
        for node, execution_id in looked:
            found += await self._look_at(run, node, execution_id)
        for node, execution_id in list(run.stopping):
            if not self._anything(run, execution_id):
                run.stopping.discard((node, execution_id))
                found.append(Observation(node, execution_id, AttemptPhase.GONE))
        return found

    def _execution(self, run: _Run, name: str) -> _Execution | None:
        """Return what a Job runs, if its name says the same as its annotations."""
        known = run.executions.get(name)
        if known is not None:
            return known
        job = self._cache.jobs(run.owner.uid).get(name)
        if job is None:
            return None
        if job_name(run.owner.name, run.owner.uid, job.execution, job.restart) != name:
            return None
        execution = _Execution(job.node, job.execution, job.restart, job.uid)
        run.executions[name] = execution
        return execution

    def _jobs_of(self, run: _Run, execution_id: str) -> list[tuple[_Execution, str]]:
        """Return the Jobs of an execution, in the order of its restarts."""
        found = [(e, name) for name, e in run.executions.items() if e.id == execution_id]
        return sorted(found, key=lambda pair: pair[0].restart)

    async def _look_at(self, run: _Run, node: str, execution_id: str) -> list[Observation]:
        jobs = self._jobs_of(run, execution_id)
        if not jobs:
            return []
        name = jobs[-1][1]
        job = self._cache.jobs(run.owner.uid).get(name)
        pods = self._pods_of(run, name)
        now = time.monotonic()
        waiting = next((pod for pod in pods if pod.alive and pod.waiting), None)
        stuck_for = 0.0
        if waiting is not None and waiting.waiting not in ("ContainerCreating", "PodInitializing"):
            stuck_for = now - run.stuck.setdefault(waiting.uid, now)
        age = time.time() - job.created_at if job is not None else 0.0
        seen = observe(node, execution_id, job, pods, stuck_for=stuck_for, age=age)
        if seen.ask_why and job is not None:
            seen = replace(
                seen, observations=(await self._why_no_pod(run, node, execution_id, job),)
            )
        if seen.look_again is not None:
            self._look_later(run, name, seen.look_again)
        last = seen.observations[-1]
        if seen.remove or last.reason == _POD_REFUSED:
            run.remove.add(name)
        if last.phase in (AttemptPhase.SUCCEEDED, AttemptPhase.FAILED):
            run.ended[name] = last.phase is AttemptPhase.SUCCEEDED
        return list(seen.observations)

    def _look_later(self, run: _Run, name: str, seconds: float) -> None:
        """Look at a Job again after some seconds although nothing of it changed."""
        key = run.key
        uid = run.owner.uid

        def again() -> None:
            current = self._runs.get(key)
            if current is not None and current.owner.uid == uid:
                current.dirty.add(name)
                self._queue.add(("WorkflowRun", *key))

        asyncio.get_running_loop().call_later(max(0.05, seconds), again)

    def _pods_of(self, run: _Run, name: str) -> list[PodView]:
        """Return the Pods of a Job by its name; they may outlive it."""
        execution = run.executions.get(name)
        return self._cache.pods(execution.uid) if execution is not None else []

    def _anything(self, run: _Run, execution_id: str) -> bool:
        """Tell whether something of an execution may still run."""
        for _, name in self._jobs_of(run, execution_id):
            if any(pod.alive for pod in self._pods_of(run, name)):
                return True
            job = self._cache.jobs(run.owner.uid).get(name)
            if job is not None and not job.ended:
                return True
        return False

    async def _why_no_pod(
        self, run: _Run, node: str, execution_id: str, job: JobView
    ) -> Observation:
        """Ask the Job's Events why it has no Pod."""
        waiting = Observation(node, execution_id, AttemptPhase.WAITING, reason="Scheduling")
        try:
            events = await self._gateway.list_events(job.namespace, job.uid)
        except ApiError:
            return waiting
        failed = [event for event in events if event.get("reason") == "FailedCreate"]
        if not failed:
            return waiting
        latest = max(failed, key=lambda event: str(event.get("lastTimestamp") or ""))
        message = str(latest.get("message") or "")
        if "exceeded quota" in message:
            return replace(waiting, reason="QuotaExceeded", message=message)
        if "forbidden" in message or "is invalid" in message or "denied" in message:
            log.info("%s/%s: %s: no Pod: %s", *run.key, execution_id, message)
            return Observation(
                node,
                execution_id,
                AttemptPhase.FAILED,
                reason=_POD_REFUSED,
                message=message,
                retryable=False,
            )
        return replace(waiting, reason="FailedCreate", message=message)

    # Carrying out

    async def _launch(self, run: _Run, launch: Launch) -> Observation:
        """Create the Job of an execution, or find the one that is there."""
        launched = Observation(launch.node, launch.execution_id, AttemptPhase.LAUNCHED)
        for execution, name in self._jobs_of(run, launch.execution_id):
            job = self._cache.jobs(run.owner.uid).get(name)
            if job is not None and not job.ended and not job.deleting:
                run.dirty.add(name)
                return launched
            if job is not None and job.deleting and execution.restart == launch.restart:
                return _refused(launch, "Terminating", "its Job is being deleted", 1.0)
        if self._full(run.owner.namespace):
            return _refused(
                launch, "OperatorLimit", "the operator's limit of running nodes", LIMIT_SECONDS
            )
        try:
            await self._check_service_account(run, launch)
            job_body = build_job(run.owner, run.engine.plan, launch, self._settings)
        except BuildProblem as problem:
            return _broken(launch, problem.reason, str(problem))
        name = job_body["metadata"]["name"]
        try:
            try:
                body = await self._gateway.create_job(job_body)
            except ApiError as error:
                if error.status != 409:
                    raise
                body = await self._gateway.get_job(run.owner.namespace, name)
        except ApiError as error:
            return self._not_created(run, launch, error)
        run.refusals.pop(launch.node, None)
        job = self._cache.put_job(body)
        if job is None or job.run_uid != run.owner.uid:
            message = f"a Job {name} is there that this run does not own: delete it"
            return _broken(launch, "NameTaken", message)
        if job.deleting:
            return _refused(launch, "Terminating", "its Job is being deleted", 1.0)
        run.executions[name] = _Execution(launch.node, launch.execution_id, launch.restart, job.uid)
        run.dirty.add(name)
        return launched

    def _full(self, namespace: str) -> bool:
        limits, live = self._settings.limits, self._cache.live
        return bool(
            (limits.max_running and live.total() >= limits.max_running)
            or (
                limits.max_running_per_namespace
                and live[namespace] >= limits.max_running_per_namespace
            )
        )

    def _not_created(self, run: _Run, launch: Launch, error: ApiError) -> Observation:
        """Say what a refused creation means (SEMANTICS.md 6)."""
        if error.namespace_terminating:
            raise error
        if error.exceeded_quota:
            times = run.refusals[launch.node] = run.refusals.get(launch.node, 0) + 1
            wait = min(QUOTA_SECONDS[0] * 2 ** (times - 1), QUOTA_SECONDS[1])
            return _refused(launch, "QuotaExceeded", error.message, wait)
        if error.transient or error.status == 404:  # 404: taken away between 409 and GET
            wait = error.retry_after if error.retry_after is not None else 2.0
            return _refused(launch, "ApiUnavailable", str(error), wait)
        reason = "Forbidden" if error.status == 403 else "Invalid"
        return _broken(launch, reason, error.message)

    async def _check_service_account(self, run: _Run, launch: Launch) -> None:
        pod = run.engine.plan.nodes[launch.node].definition.pod
        name = pod.service_account_name if pod is not None else None
        if name is None or not self._settings.require_usable_service_accounts:
            return
        try:
            account = await self._gateway.get_service_account(run.owner.namespace, name)
        except ApiError as error:
            if error.status != 404:
                raise BuildProblem("ServiceAccount", f"pod.serviceAccountName: {error}") from None
            message = f"pod.serviceAccountName: there is no ServiceAccount {name!r}"
            raise BuildProblem("ServiceAccount", message) from None
        if dig(account, "metadata", "labels", "podium.dev/usable") != "true":
            raise BuildProblem(
                "ServiceAccount",
                f"pod.serviceAccountName: nodes may not use {name!r}: it would have to carry the"
                ' label podium.dev/usable: "true"',
            )

    async def _carry_out(self, run: _Run, stops: Iterable[Stop]) -> None:
        """After the status is written: stop, let ended Jobs go, remove what never ends."""
        for stop in stops:
            run.stopping.add((stop.node, stop.execution_id))
            for _, name in self._jobs_of(run, stop.execution_id):
                run.remove.add(name)
        work = []
        for name in run.remove:
            job = self._cache.jobs(run.owner.uid).get(name)
            run.ended.pop(name, None)
            if job is not None and not job.deleting:
                work.append(self._gateway.delete_job(job.namespace, job.name, job.uid))
            work += [
                self._gateway.delete_pod(run.owner.namespace, pod.name, pod.uid)
                for pod in self._pods_of(run, name)
                if pod.alive and pod.delete_asked_at is None
            ]
        run.remove = set()
        for name, succeeded in list(run.ended.items()):
            job = self._cache.jobs(run.owner.uid).get(name)
            if job is None or job.has_ttl or job.deleting:
                del run.ended[name]
            elif job.ended:
                work.append(self._set_ttl(job, succeeded=succeeded))
                del run.ended[name]
        await asyncio.gather(*work)
        if any(not self._anything(run, execution) for _, execution in run.stopping):
            self._queue.add(("WorkflowRun", *run.key))

    async def _set_ttl(self, job: JobView, *, succeeded: bool) -> None:
        settings = self._settings.jobs
        seconds = settings.succeeded_ttl_seconds if succeeded else settings.failed_ttl_seconds
        try:
            await self._gateway.set_job_ttl(job.namespace, job.name, seconds)
        except ApiError as error:
            if error.status != 404:
                log.warning("%s/%s: no end-of-life set: %s", job.namespace, job.name, error)

    # Writing

    async def _write(self, run: _Run, changes: Changes) -> None:
        """Write what changed, in one patch. Raises `_Conflict`, `ApiError`."""
        _observed(run.engine.status, run.generation)
        operations = _operations(run.known, run.engine.status, changes)
        for _ in range(CONFLICTS):
            try:
                body = await self._gateway.patch_run_status(
                    *run.key, [_at_version(run.version), *operations]
                )
            except ApiError as error:
                if error.status == 404:
                    raise _Conflict from None
                if error.status == 409:
                    await self._catch_up(run)
                    continue
                if _too_large(error):
                    await self._give_up(run, error)
                    raise _Conflict from None
                raise
            run.known = body.get("status") or {}
            run.version = str(dig(body, "metadata", "resourceVersion"))
            self._cache.put_run(body)
            return
        raise _Conflict

    async def _catch_up(self, run: _Run) -> None:
        """Somebody wrote the object: fine, unless it was the status."""
        body = await self._gateway.get_run(*run.key)
        if dig(body, "metadata", "uid") != run.owner.uid:
            raise _Conflict
        if (body.get("status") or {}) != run.known:
            raise _Conflict
        run.version = str(dig(body, "metadata", "resourceVersion"))
        self._cache.put_run(body)

    async def _give_up(self, run: _Run, error: ApiError) -> None:
        """Fail a run whose status the server does not take, and stop what runs of it."""
        now = round(time.time(), 3)
        message = f"the run's status is too large for the server: {error.message}"
        status = WorkflowRunStatus.model_construct(
            phase=RunPhase.FAILED,
            conditions=list(run.engine.status.conditions),
            started_at=run.engine.status.started_at,
            completed_at=now,
        )
        set_condition(status, now, "Succeeded", ConditionStatus.FALSE, "StatusTooLarge", message)
        document = {**run.known, **dump_status(status), "nodes": run.known.get("nodes", {})}
        await self._gateway.patch_run_status(
            *run.key,
            [_at_version(run.version), {"op": "add", "path": "/status", "value": document}],
        )
        self._recorder.warn(run.subject, "StatusTooLarge", message)
        for job in list(self._cache.jobs(run.owner.uid).values()):
            if not job.ended:
                await self._gateway.delete_job(job.namespace, job.name, job.uid)


def _operations(
    known: dict[str, Any], status: WorkflowRunStatus, changes: Changes
) -> list[dict[str, Any]]:
    """Return the JSON Patch from the status on the server to the engine's.

    A changed node is replaced whole: a merge would mix the outputs of two executions.
    """
    if "nodes" not in known:
        return [{"op": "add", "path": "/status", "value": dump_status(status)}]
    fields = dump_status(status.model_copy(update={"nodes": {}}))
    operations: list[dict[str, Any]] = [
        {"op": "add", "path": f"/status/{name}", "value": value}
        for name, value in fields.items()
        if known.get(name) != value
    ]
    operations += [
        {"op": "remove", "path": f"/status/{name}"}
        for name in known
        if name not in fields and name != "nodes"
    ]
    for node in sorted(changes.nodes):
        state = status.nodes.get(node)
        if state is not None:
            path = f"/status/nodes/{node}"
            operations.append({"op": "add", "path": path, "value": dump_node(state)})
        elif node in known["nodes"]:
            operations.append({"op": "remove", "path": f"/status/nodes/{node}"})
    return operations


def _at_version(version: str) -> dict[str, Any]:
    """Make a patch conditional: another version on the server answers 409."""
    return {"op": "replace", "path": "/metadata/resourceVersion", "value": version}


def _observed(status: WorkflowRunStatus, generation: int) -> None:
    status.observed_generation = generation
    for condition in status.conditions:
        condition.observed_generation = generation


def _bare_status(known: dict[str, Any], phase: RunPhase) -> WorkflowRunStatus:
    try:
        status = load_status({**known, "phase": phase.value, "nodes": {}})
    except ValueError:  # somebody wrote into it
        status = WorkflowRunStatus(phase=phase)
    return status


def _too_large(error: ApiError) -> bool:
    return error.status == 413 or "too large" in error.message or "Too long" in error.message


def _subject(body: dict[str, Any]) -> Subject:
    meta = body["metadata"]
    return Subject("WorkflowRun", meta["namespace"], meta["name"], meta["uid"])


def _words(problem: Exception) -> str:
    if isinstance(problem, WorkflowNotFoundError):
        name = str(problem)
        return f"there is no Workflow {name!r}" if name else "the run has a graph of its own"
    return str(problem)


def _refused(launch: Launch, reason: str, message: str, wait: float) -> Observation:
    return Observation(
        launch.node,
        launch.execution_id,
        AttemptPhase.REFUSED,
        reason=reason,
        message=message,
        retry_after=wait,
    )


def _broken(launch: Launch, reason: str, message: str) -> Observation:
    return Observation(
        launch.node,
        launch.execution_id,
        AttemptPhase.FAILED,
        reason=reason,
        message=message,
        retryable=False,
    )
