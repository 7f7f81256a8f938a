"""The claims of a run: made before the first Job that mounts them, or found where they are.

Names are derived, so what is made twice is found the second time. An object that has such a name
and is not the run's is set aside. All names are looked at before a claim is made: one with files
does not give way to a new one because the object before it went.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from podium.api.reasons import EventReason, NodeReason
from podium.api.workflow import VolumeClaim
from podium.cluster.jobs.claims import (
    NAMES_OF_CLAIM,
    build_claim,
    claim_name,
    is_own_claim,
    mounted_claims,
)
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import dig, latest_message, text
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.job_maker import refused_for_now, tell_set_aside
from podium.engine import Emit, EventType, Launch, Observation, not_started

__all__ = ["ClaimMaker"]


class ClaimMaker:
    """Makes or finds the claims that nodes mount."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def make(self, run: ActiveRun, launch: Launch) -> Observation | None:
        """Have all claims of a node made, their names in `run.claims`; else return why not.

        Raises `ApiError`.
        """
        for claim in _claims_of(run, launch.node):
            # Nodes that start together make it once, and the others see it.
            first = contextlib.nullcontext() if claim.name in run.claims else run.claiming
            async with first:
                refused = await self._make_or_find(run, launch, claim)
            if refused is not None:
                return refused
        return None

    async def why_unbound(self, run: ActiveRun, node: str) -> str | None:
        """Return what keeps the claims of a node from being bound; None: nothing does.

        Empty: the cluster has not said so yet. Raises `ApiError`.
        """
        reasons: list[str] = []
        unbound = 0
        for claim in _claims_of(run, node):
            body, _ = await self._find(run, node, claim.name)
            if body is None or dig(body, "status", "phase") == "Bound":
                continue
            unbound += 1
            uid = text(dig(body, "metadata", "uid"))
            words = latest_message(await self._client.list_events(run.owner.namespace, uid))
            if words:
                reasons.append(f"volume {claim.name}: {words}")
        return "; ".join(reasons) if unbound else None

    async def _make_or_find(
        self, run: ActiveRun, launch: Launch, claim: VolumeClaim
    ) -> Observation | None:
        body, name = await self._find(run, launch.node, claim.name)
        if body is None and not name:
            usual = claim_name(run.owner.name, run.owner.uid, claim.name)
            message = (
                f"other objects have all {NAMES_OF_CLAIM} names of its volume {claim.name},"
                f" {usual} for one: delete them"
            )
            return not_started(launch, NodeReason.NAME_TAKEN, message)
        if body is None:
            try:
                body = await self._client.create_claim(build_claim(run.owner, claim, name))
            except ApiError as error:
                if error.status != 409:
                    raise
                # Another client was quicker: look again.
                message = f"its volume {claim.name} is being made"
                return refused_for_now(launch, NodeReason.STALLED, message, 0.2)
            if claim.name in run.claims:
                message = f"the volume {claim.name} ({name}) was deleted: it is made again, empty"
                event = Emit(EventType.WARNING, EventReason.VOLUME_LOST, message, launch.node)
                run.after_write.events.append(event)
        if dig(body, "metadata", "deletionTimestamp") is not None:
            message = (
                f"its volume {claim.name} ({name}) is being deleted, and stays while there are Pods"
                " that mounted it: delete the Jobs of the run that have ended"
            )
            return refused_for_now(launch, NodeReason.TERMINATING, message, 2.0)
        run.claims[claim.name] = name
        return None

    async def _find(
        self, run: ActiveRun, node: str, claim: str
    ) -> tuple[Mapping[str, Any] | None, str]:
        """Return a claim of the run and its name; None: with the name that it may get, if any."""
        owner = run.owner
        numbers = range(NAMES_OF_CLAIM)
        names = [claim_name(owner.name, owner.uid, claim, number) for number in numbers]
        known = run.claims.get(claim)
        if known is not None:  # the others were looked at
            names = [known, *(name for name in names if name != known)]
            body = await self._get(owner.namespace, known)
            if body is not None and is_own_claim(owner, claim, body):
                return body, known
        free = ""
        bodies = await asyncio.gather(*(self._get(owner.namespace, name) for name in names))
        for name, body in zip(names, bodies, strict=True):
            if body is None:
                free = free or name
            elif is_own_claim(owner, claim, body):
                return body, name
            else:
                uid = text(dig(body, "metadata", "uid"))
                tell_set_aside(run, node, "PersistentVolumeClaim", name, uid)
        return None, free

    async def _get(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        try:
            return await self._client.get_claim(namespace, name)
        except ApiError as error:
            if error.status != 404:
                raise
        return None


def _claims_of(run: ActiveRun, node: str) -> list[VolumeClaim]:
    planned = run.engine.plan.node(node)
    return [] if planned is None else mounted_claims(run.engine.plan.spec, planned.definition)
