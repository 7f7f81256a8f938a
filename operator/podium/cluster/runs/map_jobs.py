"""The Indexed Jobs of maps, as the launches of items need them.

All items of a map's execution share one Job. It is made, or found, by the first launch of an item;
Podium makes the Pods. Where the cluster does not know `managedBy` of Jobs, each item has a Job of
its own as any node: the built-in controller would start all items at once, all of them the same.
"""

import asyncio
import secrets
import time
from functools import partial
from typing import Any

from podium.api.problems import format_path
from podium.api.reasons import NodeReason
from podium.api.workflow import Node
from podium.cluster.jobs.builder import Owner, build_job
from podium.cluster.jobs.map_job import build_map_job, map_name
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.views import JobView, dig, text
from podium.cluster.runs.active_run import ActiveRun, Execution, MapJob
from podium.cluster.runs.job_maker import JobMaker, refused_for_now
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache
from podium.engine import AttemptPhase, ItemOf, Launch, Observation, not_started
from podium.kinds.pod_fields import pod_templates

__all__ = ["UNMANAGED_ITEMS", "MapJobs", "made_again"]

UNMANAGED_ITEMS = 1_000
"""Items of a map, each of which has a Job of its own."""

MAX_ENDED = 3_000
"""Items of a map that have ended and whose Pods are still there: the next ones wait beyond it, so
that Pods do not pile up where they are removed more slowly than made."""
ROOM_SECONDS = 0.2
"""How often it is looked whether there is room again."""
TOLD_SECONDS = 60.0
"""An item that waits for so long says why: something keeps the Pods from being removed."""


class MapJobs:
    """Makes or finds Indexed Jobs."""

    def __init__(
        self,
        client: KubernetesClient,
        cache: InformerCache,
        settings: Settings,
        maker: JobMaker,
    ) -> None:
        self._client = client
        self._cache = cache
        self._settings = settings
        self._maker = maker
        self._is_managed = None if settings.manages else False
        """Whether the server knows `managedBy` of Jobs; None: it was not asked."""

    async def room(self, run: ActiveRun, launch: Launch) -> Observation | None:
        """Wait while too many Pods of ended items are left of a map, and its item is still wanted.

        As long as they go, nothing is written of that. None: it goes on.
        """
        held = run.maps.get(launch.item.execution) if launch.item is not None else None
        if held is None or not self._is_full(run, held):
            return None
        until = time.monotonic() + TOLD_SECONDS
        async with held.turn:  # one looks, the others are behind it in their order
            node, execution = launch.node, launch.execution_id
            while self._is_full(run, held):
                if not run.engine.is_execution_current(node, execution):
                    return None
                if time.monotonic() > until:
                    message = f"{MAX_ENDED} Pods of items that have ended are being removed"
                    return refused_for_now(launch, NodeReason.OPERATOR_LIMIT, message, 1.0)
                await asyncio.sleep(ROOM_SECONDS)
        return None

    def _is_full(self, run: ActiveRun, held: MapJob) -> bool:
        return self._cache.count_items(held.uid) >= MAX_ENDED + _at_once(run)

    async def share(
        self, run: ActiveRun, launch: Launch, owner: Owner
    ) -> tuple[JobView, dict[str, Any]] | Observation | None:
        """Return an item's share of its map's Job, and that Job as the server has it.

        None: the item has a Job of its own. Raises `ApiError`, `BuildError`.
        """
        item = launch.item
        if item is None or self._is_managed is False:
            return self._too_many(launch)
        held = run.maps.setdefault(item.execution, MapJob())
        async with held.making:
            body = await self._known(run, held)
            if body is None:
                built = self._build(run, launch, item, owner)
                if self._is_managed is None:
                    tried = await self._client.try_out_job(_under_another_name(built))
                    self._is_managed = dig(tried, "spec", "managedBy") == self._settings.manager
                if not self._is_managed:
                    del run.maps[item.execution]
                    return self._too_many(launch)
                names = partial(map_name, run.owner.name, run.owner.uid, item.execution)
                made = await self._maker.make_or_find(run, launch, built, names)
                if isinstance(made, Observation):
                    return made
                body = made
            held.body = body
            held.name, held.uid = (text(dig(body, "metadata", key)) for key in ("name", "uid"))
        job = self._cache.job(held.uid)
        if job is None or job.deleting:
            return refused_for_now(launch, NodeReason.TERMINATING, "its Job was deleted", 1.0)
        share = self._cache.put_item(job, launch.node, launch.execution_id, time.time())
        run.add(share.name, Execution(launch.node, launch.execution_id, 0, share.uid))
        run.dirty.add(share.name)
        return share, body

    async def _known(self, run: ActiveRun, held: MapJob) -> dict[str, Any] | None:
        """Return the Job that is known of a map, as it is now; None: there is none yet."""
        job = self._cache.job(held.uid) if held.uid else None
        if job is None or job.deleting or job.ended:
            return None
        # A queue changes the template of a Job while it is suspended.
        if held.body is None or job.suspended or dig(held.body, "spec", "suspend") is True:
            return await self._client.get_job(run.owner.namespace, job.name)
        return held.body

    def _build(self, run: ActiveRun, launch: Launch, item: ItemOf, owner: Owner) -> dict[str, Any]:
        plan = run.engine.plan
        definition = plan.nodes[item.map].definition
        whole = Launch(
            item.map,
            item.execution,
            0,
            definition.config,
            {},
            launch.shape,
            launch.template,
            fields=_common_fields(definition, launch),
        )
        common = build_job(owner, plan, whole, self._settings)
        at_once = _at_once(run)
        return build_map_job(
            common,
            name=map_name(run.owner.name, run.owner.uid, item.execution),
            completions=item.count,
            parallelism=min(at_once, definition.max_parallel or at_once),
            tries=plan.nodes[launch.node].retry.max_attempts,
        )

    @staticmethod
    def _too_many(launch: Launch) -> Observation | None:
        if launch.item is None or launch.item.count <= UNMANAGED_ITEMS:
            return None
        message = (
            f"forEach gives {launch.item.count} items, and {UNMANAGED_ITEMS} are the limit where"
            " the cluster does not know managedBy of Jobs"
        )
        return not_started(launch, NodeReason.NEEDS_MANAGED_JOBS, message)


def _at_once(run: ActiveRun) -> int:
    return run.engine.info.max_parallel or run.engine.plan.max_parallel


def _under_another_name(job: dict[str, Any]) -> dict[str, Any]:
    """Return a Job under a name that nobody has: after a crash its own may be there."""
    metadata = job["metadata"]
    name = f"{metadata['name'][:-9]}-{secrets.token_hex(4)}"
    return {**job, "metadata": {**metadata, "name": name}}


def _common_fields(definition: Node, launch: Launch) -> dict[str, str]:
    """Return what is filled in of a Pod; variables, which may hold the item, are as written."""
    written = {format_path(path): text for path, text in pod_templates(definition)}
    return {
        key: written[key] if key.startswith("pod.env") else value
        for key, value in launch.fields.items()
    }


def made_again(run: ActiveRun, node: str, execution: str) -> Observation:
    """Report that the Pod of an item is to be made again: its input is with the engine alone.

    So it is after a crash between Job and Pod, and when a suspended Job goes on.
    """
    state = run.engine.status.nodes.get(node)
    seen = Observation(node, execution, AttemptPhase.LAUNCHED)
    if state is not None and (state.execution_id, state.next_attempt_at) == (execution, None):
        seen.phase, seen.own = AttemptPhase.DISRUPTED, True
        seen.reason, seen.message = NodeReason.STARTING, "its Pod is made again"
    return seen
