"""The Jobs and Pods of a run: looked at, made, and stopped.

Names are derived, so what is made twice is found the second time. Launches run side by side and
beside the turns: what became of them is an observation for a later turn.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from podium.api.run import NodeState, NodeStatus
from podium.cluster.jobs.builder import BuildProblem, build_job, build_pod, job_name
from podium.cluster.jobs.controller import JobKeeper
from podium.cluster.jobs.interpret import observe
from podium.cluster.kube.client import ApiError, Gateway
from podium.cluster.kube.views import JobView, PodView, dig, pod_view, text
from podium.cluster.metrics import Metrics
from podium.cluster.runs.active_run import ActiveRun, Execution, Mark
from podium.cluster.settings import Settings
from podium.cluster.watch.store import Cache
from podium.cluster.workqueue import backoff
from podium.engine import AttemptPhase, Launch, Observation, Stop, not_started, recorded_outcome

__all__ = ["Attempts"]

log = logging.getLogger(__name__)

LANES = 32
"""Launches at the same time: a Job's Pod comes before the next one's Job."""
LIMIT_SECONDS = 1.0
UNAVAILABLE_SECONDS = 2.0
QUOTA_SECONDS = (5.0, 60.0)
PODS_OF_JOB = 50
"""Names that are tried for a Pod, at most."""
_POD_REFUSED = "PodRefused"


class Attempts:
    """Works on the Jobs and Pods of runs."""

    def __init__(
        self,
        gateway: Gateway,
        cache: Cache,
        keeper: JobKeeper,
        settings: Settings,
        wake: Callable[[ActiveRun], None],
        metrics: Metrics,
    ) -> None:
        """`wake` asks for a turn."""
        self._gateway = gateway
        self._cache = cache
        self._keeper = keeper
        self._settings = settings
        self._wake = wake
        self._metrics = metrics
        self._reserved: Counter[str] = Counter()
        """Launches under way, by namespace."""
        self._told_unmanaged = False
        self._lanes = asyncio.Semaphore(LANES)
        self.launch_after = 0.0
        """Nothing is created before this time (monotonic)."""

    # Looking

    def adopt(self, run: ActiveRun) -> None:
        """Take up all that is alive of a run which was just opened."""
        run.dirty.update(self._cache.jobs(run.owner.uid))
        for name in run.dirty:
            self._execution(run, name)
        for node, state in run.engine.status.nodes.items():
            if (
                state.status is NodeStatus.RUNNING
                and state.execution_id is not None
                and state.next_attempt_at is None
                and state.execution_id not in run.jobs_of
            ):
                name = job_name(run.owner.name, run.owner.uid, state.execution_id, 0)
                run.add(name, Execution(node, state.execution_id, 0, ""))
                run.dirty.add(name)
        for job in list(self._cache.jobs(run.owner.uid).values()):
            self.recall(job, run.engine.status.nodes)

    def recall(self, job: JobView, states: Mapping[str, NodeState]) -> bool:
        """Take up again what a Job is owed: its end, when the run's status and its Pod have theirs.

        An operator that ends before the server took that write leaves no other trace. Return
        whether it was so.
        """
        state = states.get(job.node)
        if state is None or not job.managed_by or job.ended or job.deleting:
            return False
        succeeded = recorded_outcome(state, job.execution)
        if succeeded is None or any(pod.alive for pod in self._cache.pods(job.uid)):
            return False
        self._keeper.recorded(job, succeeded=succeeded)
        return True

    async def look(self, run: ActiveRun) -> list[Observation]:
        """Look at what changed, at what is being stopped, and at what became of launches.

        Once the engine has taken this in, `note` follows, before anything else is awaited.
        """
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
            if not self.anything(run, execution_id):
                run.stopping.discard((node, execution_id))
                found.append(Observation(node, execution_id, AttemptPhase.GONE))
        answers, run.answers = run.answers, []
        return [*answers, *found]

    def note(self, run: ActiveRun) -> None:
        """Note what may be done once the status is written, for what the engine has taken in.

        What it has not must stay as it is: it will be launched, and looked at again.
        """
        marks, run.marks = run.marks, []
        for mark in marks:
            if not run.engine.has_recorded_execution(mark.node, mark.execution):
                continue
            if mark.remove:
                run.remove.add(mark.job)
            if mark.succeeded is not None:
                run.ended[mark.job] = mark.succeeded or run.ended.get(mark.job, False)
            run.spent += mark.spent

    def _execution(self, run: ActiveRun, name: str) -> Execution | None:
        """Return what a Job runs, if its name says the same as its annotations."""
        known = run.executions.get(name)
        if known is not None:
            return known
        job = self._cache.jobs(run.owner.uid).get(name)
        if job is None:
            return None
        if job_name(run.owner.name, run.owner.uid, job.execution, job.restart) != name:
            return None
        execution = Execution(job.node, job.execution, job.restart, job.uid)
        run.add(name, execution)
        return execution

    async def _look_at(self, run: ActiveRun, node: str, execution_id: str) -> list[Observation]:
        names = run.jobs_of.get(execution_id)
        if not names:
            return []
        name = names[-1]
        job = self._cache.jobs(run.owner.uid).get(name)
        if job is None and not run.executions[name].uid:
            # Missing in what the watches said: only the server can say that it is gone.
            job = await self._ask(run, name)
            name = names[-1]
        pods = self._pods_of(run, name)
        if job is not None and job.ended and job.managed_by and not pods:
            return []  # recorded, and let go
        if execution_id in run.launching and not pods:
            return []  # its launch says what becomes of it
        now = time.monotonic()
        waiting = next((pod for pod in pods if pod.alive and pod.waiting), None)
        stuck_for = 0.0
        if waiting is not None and waiting.waiting not in ("ContainerCreating", "PodInitializing"):
            stuck_for = now - run.stuck.setdefault(waiting.uid, now)
        age = time.time() - job.created_at if job is not None else 0.0
        if job is not None and job.suspended:
            self._excuse(job, pods)
        pods = [pod for pod in pods if not self._cache.excused(pod) or pod.alive]
        seen = observe(node, execution_id, job, pods, stuck_for=stuck_for, age=age)
        if seen.ask_why and job is not None:
            seen = replace(
                seen, observations=(await self._why_no_pod(run, node, execution_id, job),)
            )
        if seen.needs_pod and job is not None:
            self._supply(run, node, execution_id, job)
        if seen.look_again is not None:
            self._look_later(run, name, seen.look_again)
        if seen.lost_since is not None:
            await self._give_up(run, node, name, seen.lost_since)
        last = seen.observations[-1]
        remove = seen.remove or last.reason == _POD_REFUSED
        mark = Mark(node, execution_id, name, remove=remove)
        if last.phase in (AttemptPhase.SUCCEEDED, AttemptPhase.FAILED):
            mark = replace(mark, succeeded=last.phase is AttemptPhase.SUCCEEDED)
        elif last.phase is AttemptPhase.DISRUPTED:
            spent = (pod for pod in pods if not pod.alive and not pod.gone)
            mark = replace(mark, spent=tuple(spent))
        run.marks.append(mark)
        return list(seen.observations)

    async def _give_up(self, run: ActiveRun, node: str, name: str, since: float) -> None:
        """Delete Pods on a machine that does not answer, if their node says so, after a while."""
        planned = run.engine.plan.nodes.get(node)
        after = planned.definition.force_restart_after_seconds if planned is not None else None
        if after is None:
            return
        if (left := since + after - time.time()) > 0:
            self._look_later(run, name, left)
            return
        for pod in self._pods_of(run, name):
            if pod.alive:
                log.warning("%s/%s: %s is given up: its machine is lost", *run.key, pod.name)
                await self._gateway.delete_pod(pod.namespace, pod.name, pod.uid, force=True)

    def _excuse(self, job: JobView, pods: Iterable[PodView]) -> None:
        """Excuse Pods deleted because their Job is suspended, perhaps by an earlier operator."""
        for pod in pods:
            if pod.asked_to_end:
                self._cache.excuse(pod.uid)
                self._keeper.changed(job.uid)

    async def _ask(self, run: ActiveRun, name: str) -> JobView | None:
        """Ask for the latest Job of an execution that nobody here has seen."""
        missing = run.executions[name]
        state = run.engine.status.nodes.get(missing.node)
        for restart in range(state.disruptions if state is not None else 0, -1, -1):
            name = job_name(run.owner.name, run.owner.uid, missing.id, restart)
            try:
                body = await self._gateway.get_job(run.owner.namespace, name)
            except ApiError as error:
                if error.status != 404:
                    raise
                if uid := self._cache.left_by(run.owner.namespace, name):
                    self._take_up_orphans(run, name, replace(missing, restart=restart, uid=uid))
                    return None
                continue
            job = self._cache.put_job(body)
            if job is None or job.run_uid != run.owner.uid:
                return None
            run.add(name, Execution(job.node, job.execution, job.restart, job.uid))
            return job
        return None

    def _take_up_orphans(self, run: ActiveRun, name: str, execution: Execution) -> None:
        """Wait for Pods whose Job is gone, as whoever saw it would."""
        namespace, uid = run.owner.namespace, run.owner.uid
        node, id_, restart = execution.node, execution.id, execution.restart
        gone = JobView(namespace, name, execution.uid, "", uid, node, id_, restart, deleting=True)
        self._cache.remember(gone)
        run.add(name, execution)

    def _look_later(self, run: ActiveRun, name: str, seconds: float) -> None:
        """Look at a Job again after some seconds although nothing of it changed."""

        def again() -> None:
            run.dirty.add(name)
            self._wake(run)

        asyncio.get_running_loop().call_later(max(0.05, seconds), again)

    def _pods_of(self, run: ActiveRun, name: str) -> list[PodView]:
        """Return the Pods of a Job by its name; they may outlive it."""
        execution = run.executions.get(name)
        return self._cache.pods(execution.uid) if execution is not None else []

    def anything(self, run: ActiveRun, execution_id: str) -> bool:
        """Return whether something of an execution may still run."""
        for name in run.jobs_of.get(execution_id, ()):
            if any(pod.alive for pod in self._pods_of(run, name)):
                return True
            job = self._cache.jobs(run.owner.uid).get(name)
            if job is not None and not job.ended:
                return True
        return False

    async def _why_no_pod(
        self, run: ActiveRun, node: str, execution_id: str, job: JobView
    ) -> Observation:
        """Ask the Events of a Job of the built-in controller why it has no Pod."""
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

    # Making

    def launch(self, run: ActiveRun, launch: Launch) -> None:
        """Begin to create the Job and the Pod of an execution, or to find those that are there."""
        begin = time.monotonic()
        namespace = run.owner.namespace
        if self._full(namespace):
            message = "the operator's limit of running nodes"
            self._answer(run, _refused(launch, "OperatorLimit", message, LIMIT_SECONDS))
            return
        self._reserved[namespace] += 1
        reserved = True
        run.launching.add(launch.execution_id)

        def free(*_: Any) -> None:
            nonlocal reserved
            self._reserved[namespace] -= reserved
            reserved = False

        async def make() -> None:
            try:
                async with self._lanes:
                    if not run.engine.is_execution_current(launch.node, launch.execution_id):
                        return  # an earlier operator had started it, and it ended meanwhile
                    seen = await self._create(run, launch)
                if seen.phase is AttemptPhase.LAUNCHED:
                    self._metrics.schedule.observe(time.monotonic() - begin)
            finally:
                free()
                run.launching.discard(launch.execution_id)
                run.dirty.update(run.jobs_of.get(launch.execution_id, ()))
            self._answer(run, seen)

        task = self._spawn(run, make, lambda message: _refused(launch, "Stalled", message, 5.0))
        task.add_done_callback(free)  # it may be cancelled before it began

    def _supply(self, run: ActiveRun, node: str, execution_id: str, job: JobView) -> None:
        """Begin to make the Pod of a Job that should have one: after a crash, or a suspension."""
        state = run.engine.status.nodes.get(node)
        if (
            job.name in run.making
            or job.managed_by != self._settings.manager
            or state is None
            or state.status is not NodeStatus.RUNNING
            or state.execution_id != execution_id
            or state.next_attempt_at is not None
        ):
            return
        run.making.add(job.name)
        launch = Launch(node, execution_id, state.disruptions, {}, {})

        async def make() -> None:
            try:
                body = await self._gateway.get_job(job.namespace, job.name)
                seen = await self._pod(run, launch, body)
            finally:
                run.making.discard(job.name)
            if seen.phase is AttemptPhase.REFUSED:
                self._look_later(run, job.name, seen.retry_after)
                seen = replace(seen, phase=AttemptPhase.WAITING)
            self._answer(run, seen)

        def broken(message: str) -> Observation:
            self._look_later(run, job.name, 5.0)
            return Observation(
                node, execution_id, AttemptPhase.WAITING, reason="Stalled", message=message
            )

        self._spawn(run, make, broken)

    def _spawn(
        self,
        run: ActiveRun,
        make: Callable[[], Any],
        broken: Callable[[str], Observation],
    ) -> asyncio.Task[None]:
        async def work() -> None:
            try:
                if (wait := self.launch_after - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                await make()
            except Exception as error:
                if not isinstance(error, ApiError):
                    log.exception("%s/%s: a launch failed", *run.key)
                self._answer(run, broken(f"{type(error).__name__}: {error}"))

        task = asyncio.get_running_loop().create_task(work())
        run.tasks.add(task)
        task.add_done_callback(run.tasks.discard)
        return task

    def _answer(self, run: ActiveRun, seen: Observation) -> None:
        if seen.phase is AttemptPhase.FAILED:  # perhaps after its Job was made
            run.marks += [
                Mark(seen.node, seen.execution_id, name, succeeded=False)
                for name in run.jobs_of.get(seen.execution_id, ())
            ]
        run.answers.append(seen)
        self._wake(run)

    async def _create(self, run: ActiveRun, launch: Launch) -> Observation:
        """Create the Job of an execution, or find the one that is there, and its Pod."""
        for name in list(run.jobs_of.get(launch.execution_id, ())):
            execution = run.executions[name]
            job = self._cache.jobs(run.owner.uid).get(name)
            if job is not None and not job.ended and not job.deleting:
                run.dirty.add(name)
                if job.managed_by != self._settings.manager:
                    return _launched(launch)
                return await self._pod(
                    run, launch, await self._gateway.get_job(job.namespace, job.name)
                )
            if job is not None and job.deleting and execution.restart == launch.restart:
                return _refused(launch, "Terminating", "its Job is being deleted", 1.0)
        try:
            await self._check_service_account(run, launch)
            job_body = build_job(run.owner, run.engine.plan, launch, self._settings)
        except BuildProblem as problem:
            return not_started(launch, problem.reason, str(problem))
        except ApiError as error:
            return self._not_created(run, launch, error)
        name = job_body["metadata"]["name"]
        try:
            try:
                body = await self._gateway.create_job(job_body)
                ours = dig(body, "spec", "managedBy") == self._settings.manager
                self._metrics.jobs.labels("podium" if ours else "builtin").inc()
            except ApiError as error:
                if error.status != 409:
                    raise
                body = await self._gateway.get_job(run.owner.namespace, name)
        except ApiError as error:
            return self._not_created(run, launch, error)
        job = self._cache.put_job(body)
        uid = text(dig(body, "metadata", "uid"))
        if self._cache.buried(uid):  # whoever deleted it was quicker than this answer
            return _refused(launch, "Terminating", "its Job was deleted", 1.0)
        if job is None or job.run_uid != run.owner.uid:
            message = f"a Job {name} is there that this run does not own: delete it"
            return not_started(launch, "NameTaken", message)
        if job.deleting:
            return _refused(launch, "Terminating", "its Job is being deleted", 1.0)
        run.add(name, Execution(launch.node, launch.execution_id, launch.restart, job.uid))
        run.dirty.add(name)
        return await self._pod(run, launch, body)

    async def _pod(self, run: ActiveRun, launch: Launch, body: dict[str, Any]) -> Observation:
        """Make the Pod of a Job that is Podium's to supply, or find the one that is there."""
        if dig(body, "spec", "managedBy") != self._settings.manager:
            self._tell_unmanaged()
            return _launched(launch)
        if dig(body, "spec", "suspend") is True:
            return _launched(launch)
        uid = dig(body, "metadata", "uid")
        for number in range(launch.restart, launch.restart + PODS_OF_JOB):
            pod = build_pod(body, number)
            try:
                made = await self._gateway.create_pod(pod)
            except ApiError as error:
                if error.status != 409:
                    return self._not_created(run, launch, error)
                made = await self._gateway.get_pod(run.owner.namespace, pod["metadata"]["name"])
            view = pod_view(made)
            if view is None or view.job_uid != uid:
                message = (
                    f"a Pod {pod['metadata']['name']} is there that is not this run's: delete it"
                )
                return not_started(launch, "NameTaken", message)
            if view.recorded or (
                not view.alive
                and (number > launch.restart or view.finalizer is None or self._cache.excused(view))
            ):
                if not run.engine.is_execution_current(launch.node, launch.execution_id):
                    return _launched(launch)  # it was found, and has ended since
                continue  # an earlier one
            run.refusals.pop(launch.node, None)
            self._cache.put_pod(made)
            return _launched(launch)
        return not_started(launch, "TooManyPods", f"its Job had {PODS_OF_JOB} Pods")

    def _tell_unmanaged(self) -> None:
        if self._settings.manages and not self._told_unmanaged:
            self._told_unmanaged = True
            log.warning(
                "this cluster does not know spec.managedBy of Jobs: the built-in Job controller"
                " makes their Pods, which takes longer"
            )

    def _full(self, namespace: str) -> bool:
        limits, live, reserved = self._settings.limits, self._cache.live, self._reserved
        return bool(
            (limits.max_running and live.total() + reserved.total() >= limits.max_running)
            or (
                limits.max_running_per_namespace
                and live[namespace] + reserved[namespace] >= limits.max_running_per_namespace
            )
        )

    def _not_created(self, run: ActiveRun, launch: Launch, error: ApiError) -> Observation:
        """Say what a refused creation means (semantics.md 6)."""
        if error.namespace_terminating:
            return _refused(launch, "Terminating", "the namespace is being deleted", 5.0)
        if error.exceeded_quota:
            times = run.refusals[launch.node] = run.refusals.get(launch.node, 0) + 1
            wait = backoff(times, QUOTA_SECONDS)
            return _refused(launch, "QuotaExceeded", error.message, wait)
        if error.transient or error.status == 404:  # 404: taken away between 409 and GET
            wait = error.retry_after if error.retry_after is not None else UNAVAILABLE_SECONDS
            return _refused(launch, "ApiUnavailable", str(error), wait)
        reason = "Forbidden" if error.status == 403 else "Invalid"
        return not_started(launch, reason, error.message)

    async def _check_service_account(self, run: ActiveRun, launch: Launch) -> None:
        pod = run.engine.plan.nodes[launch.node].definition.pod
        name = pod.service_account_name if pod is not None else None
        if name is None or not self._settings.require_usable_service_accounts:
            return
        try:
            account = await self._gateway.get_service_account(run.owner.namespace, name)
        except ApiError as error:
            if error.transient:
                raise
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

    # After the status is written

    async def carry_out(
        self,
        run: ActiveRun,
        stops: Iterable[Stop],
        remove: set[str],
        ended: dict[str, bool],
        spent: Iterable[PodView],
    ) -> None:
        """Stop what is to stop, remove what never ends, let go what is recorded."""
        for stop in stops:
            run.stopping.add((stop.node, stop.execution_id))
            remove.update(run.jobs_of.get(stop.execution_id, ()))
        work = []
        for name in remove:
            job = self._cache.jobs(run.owner.uid).get(name)
            ended.pop(name, None)
            if job is not None and not job.deleting:
                work.append(self._gateway.delete_job(job.namespace, job.name, job.uid))
            work += [
                self._gateway.delete_pod(run.owner.namespace, pod.name, pod.uid)
                for pod in self._pods_of(run, name)
                if pod.alive and pod.delete_asked_at is None
            ]
        for name, succeeded in ended.items():
            job = self._cache.jobs(run.owner.uid).get(name)
            if job is not None and not job.deleting:
                self._keeper.recorded(job, succeeded=succeeded)
        for pod in spent:
            self._keeper.spent(pod)
        await asyncio.gather(*work)

    def may_run(self, job: JobView) -> bool:
        """Return whether a Job that has not ended may have a living Pod, now or later."""
        pods = self._cache.pods(job.uid)
        return not pods or any(pod.alive for pod in pods)


def _launched(launch: Launch) -> Observation:
    return Observation(launch.node, launch.execution_id, AttemptPhase.LAUNCHED)


def _refused(launch: Launch, reason: str, message: str, wait: float) -> Observation:
    return Observation(
        launch.node,
        launch.execution_id,
        AttemptPhase.REFUSED,
        reason=reason,
        message=message,
        retry_after=wait,
    )
