"""What the Jobs and Pods of a run say: collected for the engine, and what follows from it."""

import contextlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from podium import kinds
from podium.api.reasons import NodeReason
from podium.cluster.jobs.builder import job_name
from podium.cluster.jobs.controller import ManagedJobController
from podium.cluster.jobs.interpret import ExecutionReport
from podium.cluster.jobs.output_values import name_output
from podium.cluster.jobs.shapes import ExecutionSnapshot, interpret
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import ITEM, JobView, PodView, latest_message, real_job, real_name
from podium.cluster.runs.active_run import ActiveRun, Execution
from podium.cluster.runs.claim_maker import ClaimMaker
from podium.cluster.runs.closer import JobCloser
from podium.cluster.runs.launcher import JobLauncher
from podium.cluster.runs.map_jobs import made_again
from podium.cluster.runs.map_progress import take_up_maps
from podium.cluster.runs.observation_batch import ObservationBatch, PendingJobUpdate, update_of
from podium.cluster.runs.own_objects import OwnObjects
from podium.cluster.runs.printed import PrintedOutputs
from podium.cluster.watch.store import InformerCache
from podium.engine import AttemptPhase, Observation

__all__ = ["JobObserver"]

log = logging.getLogger(__name__)

CLAIM_SECONDS = (5.0, 30.0)
"""How soon it is looked again at what keeps a volume from being bound, before and after the cluster
has said why."""
_STARTING = ("", "ContainerCreating", "PodInitializing")
"""What a container waits for that comes by itself."""


class JobObserver:
    """Looks at the Jobs and Pods of runs."""

    def __init__(
        self,
        client: KubernetesClient,
        cache: InformerCache,
        jobs: ManagedJobController,
        launcher: JobLauncher,
        closer: JobCloser,
    ) -> None:
        self._client = client
        self._cache = cache
        self._jobs = jobs
        self._launcher = launcher
        self._closer = closer
        self._own = OwnObjects(cache, launcher.manager)
        self._claims = ClaimMaker(client)
        self._printed = PrintedOutputs(client)

    def resume_tracking(self, run: ActiveRun) -> None:
        """Take up all that is alive of a run which was just loaded."""
        run.dirty.update(self._cache.jobs(run.owner.namespace, run.owner.uid))
        for name in run.dirty:
            self._own.execution(run, name)
            self._own.take_up_unrecorded_pods(run, name)
        take_up_maps(run, self._cache)
        for node, execution_id in run.engine.running_executions():
            if not kinds.runs_program(run.engine.plan.nodes[node].definition):
                continue  # it has a run instead
            if not self._own.names(run, execution_id):
                state = run.engine.status.nodes[node]
                name = state.job_name or job_name(run.owner.name, run.owner.uid, execution_id, 0)
                run.add(name, Execution(node, execution_id, 0, state.job_uid or "", is_seen=False))
                run.dirty.add(name)
        self._take_up_leftovers(run)
        for job in list(self._cache.jobs(run.owner.namespace, run.owner.uid).values()):
            self._closer.finish_recorded_job(job, run.engine.status.nodes)

    def _take_up_leftovers(self, run: ActiveRun) -> None:
        """Take up what was stopped and whose Pod still ends, its Job already gone."""
        for node, state in run.engine.status.nodes.items():
            uid, execution_id = state.job_uid, state.execution_id
            if not uid or execution_id is None or self._own.names(run, execution_id):
                continue
            if any(pod.program_alive for pod in self._cache.pods(uid)):
                name = state.job_name or job_name(run.owner.name, run.owner.uid, execution_id, 0)
                run.add(name, Execution(node, execution_id, 0, uid))
                run.dirty.add(name)

    async def collect_observations(self, run: ActiveRun) -> ObservationBatch:
        """Look at what changed, at what is being stopped, and at what became of launches."""
        names, run.dirty = run.dirty, set()
        changed: dict[tuple[str, str], None] = {}
        for name in names:
            execution = self._own.execution(run, name)
            if execution is not None:
                changed[execution.node, execution.id] = None
        found: list[Observation] = []
        updates: list[PendingJobUpdate] = []
        for node, execution_id in changed:
            seen = await self._look_at(run, node, execution_id)
            if seen is not None:
                found += seen[0].observations
                updates.append(seen[1])
        for node, execution_id in list(run.stopping):
            if not self.may_still_run(run, execution_id):
                run.stopping.discard((node, execution_id))
                for name in [each for each in run.jobs_of.get(execution_id, ()) if "/" in each]:
                    run.forget(name)
                found.append(Observation(node, execution_id, AttemptPhase.GONE))
        results, run.launch_results = run.launch_results, []
        updates += [
            PendingJobUpdate(result.node, result.execution_id, name, succeeded=False)
            for result in results
            if result.phase is AttemptPhase.FAILED  # perhaps after its Job was made
            for name in run.jobs_of.get(result.execution_id, ())
        ]
        return ObservationBatch(run, [*results, *found], updates)

    def may_still_run(self, run: ActiveRun, execution_id: str) -> bool:
        """Return whether something of an execution may still run, or is still being made."""
        if execution_id in run.launching:
            return True
        if (child := run.children.get(execution_id)) is not None:
            return not child.has_ended
        ours = self._own.names(run, execution_id)
        for name in ours or run.jobs_of.get(execution_id, []):
            if name in run.making or any(pod.program_alive for pod in self._own.pods(run, name)):
                return True
            job = self._own.job(run, name)
            if job is not None and job.shape == ITEM:
                continue
            # One that no kubelet vouches for is not waited for when only a finalizer holds it.
            if job is not None and not job.ended and (ours or not job.deleting):
                return True
        return False

    async def _look_at(
        self, run: ActiveRun, node: str, execution_id: str
    ) -> tuple[ExecutionReport, PendingJobUpdate] | None:
        """Report on an execution; None: there is nothing new to say of it."""
        names = run.jobs_of.get(execution_id)
        if not names:
            return None
        ours = self._own.names(run, execution_id)
        if not ours and run.engine.is_execution_current(node, execution_id):
            return None  # what is being launched, or is recorded, is another Job
        name = (ours or names)[-1]
        job = self._own.job(run, name)
        if job is None and not run.executions[name].is_seen:
            # Missing in the cache: only the server can say that it is gone.
            job = await self._ask(run, name)
            name = (self._own.names(run, execution_id) or names)[-1]
        # Once its end is recorded it does not matter who decides: all of it has to go.
        is_current = run.engine.is_execution_current(node, execution_id)
        find = self._own.deciding_pods if is_current else self._own.pods
        pods = find(run, name)
        if job is not None and job.ended and job.managed_by and not pods:
            return None  # recorded, and released
        if execution_id in run.launching and not pods:
            return None  # its launch says what becomes of it
        if job is not None and job.suspended:
            self._mark_suspend_deletions(job, pods)
        pods = [pod for pod in pods if not self._cache.ended_by_suspension(pod) or pod.alive]
        report = await self._report(run, node, execution_id, job, pods)
        if planned := run.engine.plan.node(node):
            for each in report.observations:
                name_output(each, planned.definition)
            if is_current:
                report = self._printed.add(run, name, planned.definition, report, pods)
        if report.needs_pod and job is not None and job.shape == ITEM:
            report = replace(report, observations=(made_again(run, node, execution_id),))
        elif report.needs_pod and job is not None:
            self._launcher.ensure_pod(run, node, execution_id, job)
        if report.look_again is not None:
            run.look_later(name, report.look_again)
        if report.lost_since is not None:
            await self._give_up(run, node, name, report.lost_since)
        if report.observations[-1].reason == NodeReason.UNSCHEDULABLE:
            await self._explain_claims(run, name, report.observations[-1])
        execution = run.executions[name]
        if execution.is_ours:
            usual = job_name(run.owner.name, run.owner.uid, execution_id, execution.restart)
            for each in report.observations:
                each.job_uid, each.job_name = execution.uid, name if name != usual else ""
        return report, update_of(report, node, execution_id, name, pods)

    async def _report(
        self,
        run: ActiveRun,
        node: str,
        execution_id: str,
        job: JobView | None,
        pods: Sequence[PodView],
    ) -> ExecutionReport:
        stuck_for = _stuck_for(run, pods, time.monotonic())
        age = time.time() - job.created_at if job is not None else 0.0
        snapshot = ExecutionSnapshot(node, execution_id, job, pods, stuck_for, age)
        report = interpret(snapshot)
        if not report.ask_why or job is None:
            return report
        return interpret(replace(snapshot, failed_create=await self._why_no_pod(job)))

    async def _explain_claims(self, run: ActiveRun, name: str, seen: Observation) -> None:
        """Add to what the scheduler says what keeps the node's claims from being bound."""
        with contextlib.suppress(ApiError):
            why = await self._claims.why_unbound(run, seen.node)
            if why is None:
                return
            if why:
                seen.message = f"{seen.message}; {why}"
            run.look_later(name, CLAIM_SECONDS[bool(why)])

    async def _why_no_pod(self, job: JobView) -> str:
        """Return what the Events of a Job of the built-in controller say about its lack of Pods."""
        try:
            events = await self._client.list_events(job.namespace, job.uid)
        except ApiError:
            return ""
        return latest_message(event for event in events if event.get("reason") == "FailedCreate")

    async def _give_up(self, run: ActiveRun, node: str, name: str, since: float) -> None:
        """Delete Pods on a machine that does not answer, if their node says so, after a while."""
        planned = run.engine.plan.node(node)
        after = planned.definition.force_restart_after_seconds if planned is not None else None
        if after is None:
            return
        if (left := since + after - time.time()) > 0:
            run.look_later(name, left)
            return
        for pod in self._own.pods(run, name):
            if pod.alive:
                log.warning("%s/%s: %s is given up: its machine is lost", *run.key, pod.name)
                await self._client.delete_pod(pod.namespace, pod.name, pod.uid, force=True)

    def _mark_suspend_deletions(self, job: JobView, pods: Iterable[PodView]) -> None:
        """Mark Pods deleted because their Job is suspended, perhaps by an earlier operator."""
        for pod in pods:
            if pod.asked_to_end:
                self._cache.mark_suspend_deletion(pod.uid)
                self._jobs.changed(job.uid)

    async def _ask(self, run: ActiveRun, name: str) -> JobView | None:
        """Ask for the latest Job of an execution that the cache does not have."""
        missing = run.executions[name]
        if "/" in name:
            return await self._ask_item(run, name, missing)
        state = run.engine.status.nodes.get(missing.node)
        numbers = range(state.disruptions if state is not None else 0, -1, -1)
        usual = {job_name(run.owner.name, run.owner.uid, missing.id, n): n for n in numbers}
        for each, restart in ({name: 0} | usual if name not in usual else usual).items():
            try:
                body = await self._client.get_job(run.owner.namespace, each)
            except ApiError as error:
                if error.status != 404:
                    raise
                uid = missing.uid or self._cache.orphaned_job_uid(run.owner.namespace, each)
                if uid and self._cache.pods(uid):
                    self._take_up_orphans(run, each, replace(missing, restart=restart, uid=uid))
                    return None
                continue
            job = self._cache.put_job(body)
            if job is None or job.run_uid != run.owner.uid or missing.uid not in ("", job.uid):
                continue
            run.add(each, Execution(job.node, job.execution, job.restart, job.uid))
            return job
        return None

    async def _ask_item(self, run: ActiveRun, name: str, missing: Execution) -> JobView | None:
        """Ask for an item's share of a Job that the cache does not have."""
        try:
            body = await self._client.get_job(run.owner.namespace, real_name(name))
        except ApiError as error:
            if error.status != 404:
                raise
            return None
        job = self._cache.put_job(body)
        if job is None or job.uid != real_job(missing.uid):
            return None
        share = self._cache.put_item(job, missing.node, missing.id, job.created_at)
        run.add(name, replace(missing, is_seen=True))
        return share

    def _take_up_orphans(self, run: ActiveRun, name: str, execution: Execution) -> None:
        """Wait for Pods whose Job is gone, as an operator that saw it go would."""
        namespace, uid = run.owner.namespace, run.owner.uid
        node, id_, restart = execution.node, execution.id, execution.restart
        gone = JobView(namespace, name, execution.uid, "", uid, node, id_, restart, deleting=True)
        self._cache.remember(gone)
        run.add(name, replace(execution, is_seen=True))


def _stuck_for(run: ActiveRun, pods: Sequence[PodView], now: float) -> float:
    """Return for how long a Pod has been seen to wait for what may never come."""
    for pod in pods:
        if pod.outlived:
            return now - run.stuck.setdefault((pod.uid, "outlived"), now)
        if pod.alive and pod.waiting not in _STARTING:
            return now - run.stuck.setdefault((pod.uid, "waiting"), now)
    return 0.0
