"""Launches of a run's executions: a Job and its Pod, made or found.

Names are derived, so what is made twice is found the second time. Launches run side by side and
beside the turns: what became of them is an observation for a later turn. A launch that was under
way when its execution was asked to stop hands what it made over to be removed.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from podium.api.reasons import NodeReason
from podium.api.run import NodeStatus
from podium.cluster.jobs.adoption import is_pod_as_built
from podium.cluster.jobs.artifacts import left_by
from podium.cluster.jobs.builder import PODS_OF_JOB, BuildError, build_pod
from podium.cluster.jobs.given_input import GivenInput
from podium.cluster.jobs.large_values import large_values
from podium.cluster.jobs.map_job import build_item_pod
from podium.cluster.jobs.pod_check import check_pod
from podium.cluster.jobs.shapes import SHAPES
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import ITEM, JobView, PodView, dig, pod_view, text
from podium.cluster.metrics import Metrics
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.input_store import InputStore
from podium.cluster.runs.job_maker import JobMaker, launched, refused_for_now, tell_set_aside
from podium.cluster.runs.launch_checks import LaunchChecks
from podium.cluster.runs.map_jobs import MapJobs
from podium.cluster.runs.own_objects import OwnObjects
from podium.cluster.runs.references import ReferenceChecker
from podium.cluster.settings import Settings
from podium.cluster.turns import FairSlots
from podium.cluster.watch.store import InformerCache
from podium.engine import AttemptPhase, Launch, Observation, not_started

__all__ = ["JobLauncher"]

log = logging.getLogger(__name__)

LANES = 32
"""Launches at the same time: a Job's Pod comes before the next one's Job. Namespaces take turns."""
LIMIT_SECONDS = 1.0


class JobLauncher:
    """Makes the Jobs and Pods of runs."""

    def __init__(
        self,
        client: KubernetesClient,
        cache: InformerCache,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._cache = cache
        self._settings = settings
        self._metrics = metrics
        self.references = ReferenceChecker(client, settings)
        self._reserved: Counter[str] = Counter()
        """Launches under way, by namespace."""
        self.manager = settings.manager
        """Who makes the Pods of the Jobs of this installation."""
        self._told_unmanaged = False
        self._own = OwnObjects(cache, settings.manager)
        self._maker = JobMaker(client, cache, settings, metrics)
        self._maps = MapJobs(client, cache, settings, self._maker)
        self._inputs = InputStore(client, settings)
        self.checks = LaunchChecks(client, settings, self.references)
        self._lanes = FairSlots(LANES)
        self.launch_after = 0.0
        """Nothing is created before this time (monotonic)."""

    def launch(self, run: ActiveRun, launch: Launch) -> None:
        """Begin to create the Job and the Pod of an execution, or to find those that are there."""
        begin = time.monotonic()
        namespace = run.owner.namespace
        if self._full(namespace):
            message = "the operator's limit of running nodes"
            self.answer(
                run, refused_for_now(launch, NodeReason.OPERATOR_LIMIT, message, LIMIT_SECONDS)
            )
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
                seen = await self._maps.room(run, launch) or await self._started(run, launch)
                if seen is None:
                    return  # it was stopped, or an earlier operator had started it
                if seen.phase is AttemptPhase.LAUNCHED:
                    self._metrics.schedule.observe(time.monotonic() - begin)
            finally:
                free()
                run.launching.discard(launch.execution_id)
                run.dirty.update(run.jobs_of.get(launch.execution_id, ()))
                self._remove_stopped(run, launch)
            self.answer(run, seen)

        task = self.spawn(
            run, make, lambda message: refused_for_now(launch, NodeReason.STALLED, message, 5.0)
        )
        task.add_done_callback(free)  # it may be cancelled before it began

    def ensure_pod(self, run: ActiveRun, node: str, execution_id: str, job: JobView) -> None:
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
                body = await self._client.get_job(job.namespace, job.name)
                refused = await self.checks.claims(run, launch)
                seen = refused or await self._pod(run, launch, body)
            finally:
                run.making.discard(job.name)
                run.dirty.add(job.name)  # the watch may have reported its Pod before the answer
                self._remove_stopped(run, launch)
            if seen.phase is AttemptPhase.REFUSED:
                run.look_later(job.name, seen.retry_after)
                seen = replace(seen, phase=AttemptPhase.WAITING)
            self.answer(run, seen)

        def broken(message: str) -> Observation:
            run.look_later(job.name, 5.0)
            return Observation(
                node, execution_id, AttemptPhase.WAITING, reason=NodeReason.STALLED, message=message
            )

        self.spawn(run, make, broken)

    def spawn(
        self,
        run: ActiveRun,
        make: Callable[[], Awaitable[None]],
        broken: Callable[[str], Observation],
    ) -> asyncio.Task[None]:
        """Do what a launch takes, beside the turns; `broken` describes that it went wrong."""

        async def work() -> None:
            try:
                if (wait := self.launch_after - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                await make()
            except Exception as error:
                if not isinstance(error, ApiError):
                    log.exception("%s/%s: a launch failed", *run.key)
                self.answer(run, broken(f"{type(error).__name__}: {error}"))

        task = asyncio.get_running_loop().create_task(work())
        run.tasks.add(task)
        task.add_done_callback(run.tasks.discard)
        return task

    @staticmethod
    def answer(run: ActiveRun, result: Observation) -> None:
        """Tell a run what became of a launch."""
        run.launch_results.append(result)
        run.wake()

    @staticmethod
    def _remove_stopped(run: ActiveRun, launch: Launch) -> None:
        """Remove what was made of an execution that was asked to stop meanwhile."""
        if (launch.node, launch.execution_id) in run.stopping:
            run.after_write.remove.update(run.jobs_of.get(launch.execution_id, ()))
            run.wake()

    async def _started(self, run: ActiveRun, launch: Launch) -> Observation | None:
        """Start an execution, once it is its turn; None: it is not wanted any more."""
        given = None
        while True:
            async with self._lanes.slot(run.owner.namespace):
                if not run.engine.is_execution_current(launch.node, launch.execution_id):
                    return None
                seen = await self._create(run, launch, given)
            if isinstance(seen, Observation):
                return seen
            job, given = seen  # without a lane: others need not wait for that
            try:
                problem = await self._inputs.carry(run, launch, job, given)
            except ApiError as error:
                problem = self.checks.not_created(run, launch, error)
            if problem is not None:
                return problem

    async def _create(
        self, run: ActiveRun, launch: Launch, stored: GivenInput | None
    ) -> Observation | tuple[dict[str, Any], GivenInput]:
        """Create the Job of an execution, or find the one that is there, and its Pod.

        Returns the Job and the input instead where that is to be `stored` before.
        """
        for name in list(run.jobs_of.get(launch.execution_id, ())):
            execution = run.executions[name]
            job = self._cache.jobs(run.owner.namespace, run.owner.uid).get(name)
            if not execution.is_ours or (job is not None and job.uid != execution.uid):
                continue
            if job is not None and job.shape == ITEM:
                break  # its Pod is made of what it is handed, too
            if job is not None and not job.ended and not job.deleting:
                run.dirty.add(name)
                if job.managed_by != self._settings.manager:
                    return launched(run, launch, name, job.uid)
                return await self._pod(
                    run, launch, await self._client.get_job(job.namespace, job.name)
                )
            if job is not None and job.deleting and execution.restart == launch.restart:
                return refused_for_now(
                    launch, NodeReason.TERMINATING, "its Job is being deleted", 1.0
                )
        try:
            await self.checks.service_account(run, launch)
            refused = await self.checks.claims(run, launch)
            if refused is not None:
                return refused
            shape = SHAPES[launch.shape.value]
            given = stored or await self._inputs.given(run, launch)
            plan, states = run.engine.plan, run.engine.status.nodes
            found = left_by(plan, states, launch.node, launch.delivered)
            large = large_values(launch, states, run.engine.asked_of_output(launch.node))
            common = replace(run.owner, claims=run.claims, found=found, large=large)
            owner = replace(common, given=given)
            job_body = shape.build(owner, plan, launch, self._settings)
            shared = await self._maps.share(run, launch, common)
        except BuildError as error:
            return not_started(launch, error.reason, str(error))
        except ApiError as error:
            return self.checks.not_created(run, launch, error)
        refused = await self.checks.references(run, launch, job_body)
        if refused is not None:
            return refused
        if isinstance(shared, Observation):
            return shared
        if given.carried is not None and stored is None:
            return job_body, given
        if shared is not None and launch.item is not None:
            share, body = shared
            pod = partial(build_item_pod, body, job_body, launch.item.index)
            return await self._pod(run, launch, body, share, pod)
        try:
            made = await self._maker.make(run, launch, job_body)
        except ApiError as error:
            return self.checks.not_created(run, launch, error)
        return made if isinstance(made, Observation) else await self._pod(run, launch, made)

    async def _pod(
        self,
        run: ActiveRun,
        launch: Launch,
        body: dict[str, Any],
        share: JobView | None = None,
        build: Callable[[int], dict[str, Any]] | None = None,
    ) -> Observation:
        """Make the Pod of a Job that is Podium's to supply, or find the one that is there.

        Of an item's share of a Job `build` makes it.
        """
        job, uid = text(dig(body, "metadata", "name")), text(dig(body, "metadata", "uid"))
        if share is not None:
            job, uid = share.name, share.uid
        found = launched(run, launch, job, uid)
        if dig(body, "spec", "managedBy") != self._settings.manager:
            self._tell_unmanaged()
            return found
        if dig(body, "spec", "suspend") is True:
            return found
        refused = await self.checks.references(run, launch, body)
        if refused is not None:
            return refused
        for number in range(launch.restart, launch.restart + PODS_OF_JOB):
            if not run.engine.is_execution_current(launch.node, launch.execution_id):
                return found  # it was stopped, or it was found and has ended since
            pod = build_pod(body, number) if build is None else build(number)
            # Its template may not be ours.
            if problems := check_pod(pod, self._settings, run.engine.plan.spec.pinned_store):
                words = "; ".join(str(problem) for problem in problems)
                return not_started(launch, NodeReason.FORBIDDEN, f"its Pod: {words:.1000}")
            is_ours = True
            try:
                made = await self._client.create_pod(pod)
            except ApiError as error:
                if error.status != 409:
                    return self.checks.not_created(run, launch, error)
                made = await self._client.get_pod(run.owner.namespace, pod["metadata"]["name"])
                is_ours = self._own.is_own_pod(run, launch, made) or is_pod_as_built(
                    pod, made, creators_are_verified=self._settings.creators_are_verified
                )
            view = pod_view(made)
            if view is not None and view.job_uid == uid and self._is_over(view, launch, number):
                continue  # an earlier one
            if view is None or view.job_uid != uid or not is_ours:
                name, other = pod["metadata"]["name"], text(dig(made, "metadata", "uid"))
                tell_set_aside(run, launch.node, "Pod", name, other)
                if view is not None and view.job_uid == uid and view.delete_asked_at is None:
                    await self._client.delete_pod(view.namespace, name, other)
                continue
            run.refusals.pop(launch.node, None)
            self._cache.put_own_pod(made)
            return replace(found, pod_uid=view.uid)
        return not_started(launch, NodeReason.TOO_MANY_PODS, f"its Job had {PODS_OF_JOB} Pods")

    def _is_over(self, pod: PodView, launch: Launch, number: int) -> bool:
        """Return whether a Pod is an earlier one of its Job, which is followed by another."""
        return pod.recorded or (
            not pod.alive
            and (
                number > launch.restart
                or pod.finalizer is None
                or self._cache.ended_by_suspension(pod)
            )
        )

    def _tell_unmanaged(self) -> None:
        if self._settings.manages and not self._told_unmanaged:
            self._told_unmanaged = True
            log.warning(
                "this cluster does not know spec.managedBy of Jobs: the built-in Job controller"
                " makes their Pods, which takes longer"
            )

    def _full(self, namespace: str) -> bool:
        limits, live, reserved = self._settings.limits, self._cache.live, self._reserved
        in_all, in_namespace = limits.max_running, limits.max_running_per_namespace
        return bool(
            (in_all and live.total() + reserved.total() >= in_all)
            or (in_namespace and live[namespace] + reserved[namespace] >= in_namespace)
        )
