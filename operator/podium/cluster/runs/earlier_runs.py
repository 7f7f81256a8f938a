"""Runs whose results another one takes over (`spec.from`): read once, when that one begins."""

from typing import Any

from pydantic import ValidationError

from podium.api.problems import InvalidError
from podium.api.resources import WorkflowRun
from podium.api.run import WorkflowRunStatus
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.kube.views import dig, mapping, text
from podium.cluster.runs.revisions import Definitions
from podium.cluster.runs.run_spec import SPEC_CHANGED, hash_of_spec, in_current_format
from podium.cluster.runs.shard_objects import MissingShardsError, has_node_states
from podium.cluster.runs.shards import read_nodes
from podium.cluster.settings import Settings
from podium.cluster.turns import GroupSlots
from podium.engine import Earlier, Plan, load_in_slices
from podium.errors import PodiumError
from podium.judge.pool import OverBudgetError
from podium.judge.reader import Reader
from podium.judge.slices import in_slices

__all__ = ["EarlierRunError", "EarlierRuns"]

IN_HAND = 3
"""Runs of a namespace that are read at a time: each may be 20 MB meanwhile."""


class EarlierRunError(PodiumError):
    """Nothing can be copied of a run; the message says why."""


class EarlierRuns:
    """Reads runs to copy from them."""

    def __init__(
        self,
        client: KubernetesClient,
        definitions: Definitions,
        reader: Reader,
        settings: Settings,
    ) -> None:
        self._client = client
        self._definitions = definitions
        self._reader = reader
        self._settings = settings
        self._in_hand = GroupSlots(IN_HAND)

    async def read(self, namespace: str, name: str, plan: Plan) -> Earlier:
        """Return a run of the namespace as it is now, for a run of this definition.

        Raises `EarlierRunError`, `ApiError`, `JudgeError`.
        """
        try:
            async with self._in_hand.slot(namespace):
                return await self._read(namespace, name, plan)
        except UnreadableError as error:
            raise EarlierRunError(f"the run {name} cannot be read: {error.problem}") from None
        except OverBudgetError as error:
            raise EarlierRunError(f"to read the run {name} {error}") from None
        except MissingShardsError as lost:
            message = f"the WorkflowRunNodes {lost} of the run {name} are gone or were changed"
            raise EarlierRunError(message) from None
        except InvalidError as problem:
            message = f"the definition of the run {name} cannot be read: {problem!s:.1000}"
            raise EarlierRunError(message) from None
        except (ValidationError, TypeError, AttributeError) as error:
            message = f"the status of the run {name} is damaged: {error!s:.200}"
            raise EarlierRunError(message) from None

    async def _read(self, namespace: str, name: str, plan: Plan) -> Earlier:
        try:
            body = await self._client.get_run(namespace, name)
        except ApiError as error:
            if error.status != 404:
                raise
            raise EarlierRunError(f"there is no run named {name!r:.80}") from None
        known = dict(mapping(body.get("status")))
        if not has_node_states(known) or "startedAt" not in known:
            raise EarlierRunError(f"the run {name} has not begun, so it has completed nothing")
        if known.get("specHash") not in (None, await hash_of_spec(self._reader, body)):
            raise EarlierRunError(f"of the run {name} {SPEC_CHANGED}")
        uid = text(dig(body, "metadata", "uid"))
        nodes, _ = await read_nodes(self._client, namespace, name, uid, known)
        status = await in_slices(load_in_slices({**known, "nodes": nodes}))
        reading = await self._reader.read(
            in_current_format(body, known), asker=namespace, is_pinned=True
        )
        run = reading.resource
        assert isinstance(run, WorkflowRun)  # noqa: S101 - for the type checker
        former = await self._plan(namespace, name, reading, status)
        context, _ = await self._reader.context(former, run.spec, asker=namespace, is_pinned=True)
        return Earlier(
            name=name,
            uid=uid,
            plan=former,
            status=status,
            initial_context=context,
            has_artifacts=self._is_where_it_was(status, plan),
            are_recorded=True,
        )

    async def _plan(
        self, namespace: str, name: str, reading: Any, status: WorkflowRunStatus
    ) -> Plan:
        if not status.workflow_revision:
            own = reading.resource.spec.workflow_spec
            if own is None:
                raise EarlierRunError(f"the run {name} does not say which definition it had")
            return await self._reader.plan_of(
                reading, workflow_id=own.id or name, base=("spec", "workflowSpec")
            )
        revision = status.workflow_revision
        try:
            return await self._definitions.pinned(namespace, revision, status.format_version)
        except ApiError as error:
            if error.status != 404:
                raise
            message = f"the ControllerRevision {revision} with the definition of the run {name}"
            raise EarlierRunError(f"{message} is gone") from None

    def _is_where_it_was(self, status: WorkflowRunStatus, plan: Plan) -> bool:
        """Return whether a run of this definition has artifacts where the earlier one had them."""
        before = status.artifact_store
        if before is None:
            return True
        now = self._settings.location_of(plan.spec.pinned_store)
        return (before.s3, before.pvc) == (now.s3, now.pvc)
