"""The Job of an execution: made, or found where it was made before, under a name that is free.

Names are derived, so what is made twice is found the second time. An object that has such a name
and is not what would be made is set aside.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from podium.api.reasons import NodeReason
from podium.cluster.jobs.adoption import is_job_as_built
from podium.cluster.jobs.builder import NAMES_OF_JOB, job_name
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import dig, job_view, mapping, text
from podium.cluster.metrics import Metrics
from podium.cluster.runs.active_run import ActiveRun, Execution
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache
from podium.engine import AttemptPhase, Emit, EventType, Launch, Observation, not_started

__all__ = ["JobMaker", "launched", "refused_for_now", "tell_set_aside"]

SET_ASIDE_SECONDS = 30.0
"""What runs of a Job that was set aside is waited for at most this long."""


class JobMaker:
    """Makes or finds Jobs."""

    def __init__(
        self, client: KubernetesClient, cache: InformerCache, settings: Settings, metrics: Metrics
    ) -> None:
        self._client = client
        self._cache = cache
        self._settings = settings
        self._metrics = metrics

    async def make(
        self, run: ActiveRun, launch: Launch, built: dict[str, Any]
    ) -> dict[str, Any] | Observation:
        """Return the Job of an execution as the server has it, or why there is none.

        Raises `ApiError`.
        """
        owner, execution, restart = run.owner, launch.execution_id, launch.restart
        names = partial(job_name, owner.name, owner.uid, execution, restart)
        body = await self.make_or_find(run, launch, built, names)
        if not isinstance(body, Observation):
            name = built["metadata"]["name"]
            uid = text(dig(body, "metadata", "uid"))
            run.add(name, Execution(launch.node, execution, restart, uid))
            run.dirty.add(name)
        return body

    async def make_or_find(
        self,
        run: ActiveRun,
        launch: Launch,
        built: dict[str, Any],
        names: Callable[[int], str],
    ) -> dict[str, Any] | Observation:
        """Return a Job as the server has it, under the first of its names that is free.

        Raises `ApiError`.
        """
        name = ""
        for number in range(NAMES_OF_JOB):
            name = names(number)
            built["metadata"]["name"] = name
            body, is_ours = await self._create(built)
            job = self._cache.put_job(body)
            uid = text(dig(body, "metadata", "uid"))
            if self._cache.is_tombstoned(uid):  # whoever deleted it was quicker than the answer
                return refused_for_now(launch, NodeReason.TERMINATING, "its Job was deleted", 1.0)
            if not is_ours or job is None:
                if await self._set_aside(run, launch, body):
                    message = f"the Job {name}, which the run did not make, is being deleted"
                    return refused_for_now(launch, NodeReason.TERMINATING, message, 1.0)
                continue
            if job.deleting:
                message = "its Job is being deleted"
                return refused_for_now(launch, NodeReason.TERMINATING, message, 1.0)
            return body
        message = f"other objects have all {NAMES_OF_JOB} names of its Job, {name} for one: delete"
        return not_started(launch, NodeReason.NAME_TAKEN, f"{message} them")

    async def _create(self, built: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Create a Job, or return the one of that name, and whether it is the one to be made."""
        try:
            body = await self._client.create_job(built)
        except ApiError as error:
            if error.status != 409:
                raise
            meta = built["metadata"]
            body = await self._client.get_job(meta["namespace"], meta["name"])
            return body, is_job_as_built(built, body)
        ours = dig(body, "spec", "managedBy") == self._settings.manager
        self._metrics.jobs.labels("podium" if ours else "builtin").inc()
        return body, True

    async def _set_aside(self, run: ActiveRun, launch: Launch, body: dict[str, Any]) -> bool:
        """Take no notice of a Job that has a name of the run's; return whether to wait for its end.

        One that says that it is the run's is deleted: an operator may have made it that crashed,
        and a webhook changed it. Then nothing of it must run beside what is made now.
        """
        job = job_view(body)
        meta = mapping(body.get("metadata"))
        name, uid = text(meta.get("name")), text(meta.get("uid"))
        tell_set_aside(run, launch.node, "Job", name, uid)
        since = run.set_aside[uid]
        if job is None or job.run_uid != run.owner.uid:
            return False
        if not job.deleting:
            await self._client.delete_job(job.namespace, name, uid)
            return True
        pods = [pod for pod in self._cache.pods(uid) if pod.namespace == job.namespace]
        return time.monotonic() - since < SET_ASIDE_SECONDS and any(p.program_alive for p in pods)


def tell_set_aside(run: ActiveRun, node: str, kind: str, name: str, uid: str) -> None:
    """Say once that another object has a name of the run's."""
    if uid in run.set_aside:
        return
    run.set_aside[uid] = time.monotonic()
    message = f"the {kind} {name} is not one that Podium made for it: another name is taken"
    event = Emit(EventType.WARNING, NodeReason.NAME_TAKEN, message, node)
    run.after_write.events.append(event)


def refused_for_now(launch: Launch, reason: str, message: str, wait: float) -> Observation:
    """Report that an execution cannot be started yet."""
    return Observation(
        launch.node,
        launch.execution_id,
        AttemptPhase.REFUSED,
        reason=reason,
        message=message,
        retry_after=wait,
    )


def launched(run: ActiveRun, launch: Launch, name: str, uid: str) -> Observation:
    """Report that the Job of an execution exists."""
    usual = job_name(run.owner.name, run.owner.uid, launch.execution_id, launch.restart)
    return Observation(
        launch.node,
        launch.execution_id,
        AttemptPhase.LAUNCHED,
        job_uid=uid,
        job_name=name if name != usual else "",
    )
