"""Definitions of runs: found once, then pinned by a ControllerRevision.

The name of a revision holds a hash of its definition, which is checked whenever it is read: a
revision of that name by another author is not trusted.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from podium.api.formats import FORMAT_VERSION, current_definition
from podium.api.names import GROUP, LABEL_WORKFLOW, label_value, object_name
from podium.api.problems import InvalidError, Problem
from podium.api.resources import Workflow
from podium.api.source.files import parse
from podium.api.workflow import WorkflowSpec
from podium.cluster.kube.client import Gateway
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import mapping, text
from podium.cluster.watch.store import Cache
from podium.engine import Plan, definition_digest, digest_of
from podium.errors import PodiumError

__all__ = [
    "SPEC_CHANGED",
    "Definitions",
    "WorkflowNotFoundError",
    "describe",
    "has_changed",
    "revision_name",
    "spec_hash",
]

KEPT_PLANS = 100
PINNED_SECONDS = 10.0
"""A revision that was there is not asked about again for so long: many runs begin at once."""
USED_SECONDS = 20.0
"""So long after a run was handed a revision its status names it, or it asks again."""
SPEC_CHANGED = (
    "spec.context or spec.workflowSpec is not what the run began with, and neither may change: make"
    " a new run, or run nodes again with an edited context"
)
DIGITS = 32
"""Hexadecimal digits of the hash in a revision's name: 128 bits."""


_PlanKey = tuple[str, str, int | None]
"""Namespace, revision, and the format in which the run reads it."""


class WorkflowNotFoundError(PodiumError):
    """The run names a Workflow that does not exist (yet)."""


class Definitions:
    """Finds, pins and compiles definitions."""

    def __init__(self, gateway: Gateway, cache: Cache) -> None:
        self._gateway = gateway
        self._cache = cache
        self._plans: OrderedDict[_PlanKey, Plan] = OrderedDict()
        self._pinned_at: dict[tuple[str, str], float] = {}
        """When (monotonic) a revision of these plans was last seen or made."""
        self._used_at: dict[tuple[str, str], float] = {}
        """When (monotonic) a run was last handed a revision, the first ones first."""

    async def latest(self, namespace: str, reference: str) -> Plan:
        """Compile the Workflow that a run names, as it is now; its revision is pinned.

        Raises `WorkflowNotFoundError`, `InvalidError`, `ApiError`.
        """
        workflow = await self._find(namespace, reference)
        name = workflow.metadata.name
        revision = revision_name(name, workflow.spec)
        plan = self._remember(namespace, revision)
        if plan is None:
            plan = Plan.build(
                workflow.spec, workflow_id=workflow.spec.id or name, revision=revision
            )
        self._note_use(namespace, revision)
        known = self._pinned_at.get((namespace, revision))
        if known is None or time.monotonic() - known > PINNED_SECONDS:
            await self._pin(namespace, name, plan)
            self._pinned_at[namespace, revision] = time.monotonic()
        self._keep(namespace, plan)
        return plan

    def is_needed(self, namespace: str, revision: str) -> bool:
        """Return whether a run may be about to name a revision: it was handed out just now."""
        used = self._used_at.get((namespace, revision))
        return used is not None and time.monotonic() - used < USED_SECONDS

    def _note_use(self, namespace: str, revision: str) -> None:
        now, key = time.monotonic(), (namespace, revision)
        self._used_at.pop(key, None)
        self._used_at[key] = now
        while now - self._used_at[oldest := next(iter(self._used_at))] > USED_SECONDS:
            del self._used_at[oldest]

    async def has_changed(self, namespace: str, reference: str, revision: str) -> bool:
        """Return whether the Workflow that a run names is another than the one it is pinned to."""
        try:
            workflow = await self._find(namespace, reference)
        except (WorkflowNotFoundError, InvalidError):
            return False  # revision latest would say what is wrong with it
        return revision_name(workflow.metadata.name, workflow.spec) != revision

    async def pinned(
        self, namespace: str, revision: str, format_version: int | None = FORMAT_VERSION
    ) -> Plan:
        """Compile the definition that a run is pinned to. Raises `InvalidError`, `ApiError`.

        `format_version` is that of the run: the same data may mean another thing to an older one.
        """
        plan = self._remember(namespace, revision, format_version)
        if plan is not None:
            return plan
        body = await self._gateway.get_revision(namespace, revision)
        data = body.get("data")
        data = data if isinstance(data, dict) else {}
        stored = data.get("spec") or {}
        try:
            spec = WorkflowSpec.model_validate(current_definition(stored, format_version))
        except ValidationError as error:
            problem = Problem(("data",), f"the ControllerRevision is damaged: {error!s:.200}")
            raise InvalidError([problem]) from None
        # The hash is one over the data as they were stored; the server may write 2.0 as 2.
        digests = (definition_digest(stored), definition_digest(_in_words_of(stored, spec)))
        if not any(revision.endswith(f"-{digest[:DIGITS]}") for digest in digests):
            message = f"the ControllerRevision {revision} does not hold what its name says"
            raise InvalidError([Problem(("data",), message)])
        workflow = text(data.get("workflowId"))
        # Its name is no part of the hash, but of the revision's name.
        named = revision.startswith(f"{_prefix(workflow)}-")
        if workflow != spec.id if spec.id else not named:
            message = f"the ControllerRevision {revision} is not one of the Workflow {workflow!r}"
            raise InvalidError([Problem(("data",), message)])
        plan = Plan.build(spec, workflow_id=workflow, revision=revision, is_pinned=True)
        self._keep(namespace, plan, format_version)
        return plan

    async def _find(self, namespace: str, reference: str) -> Workflow:
        name = self._cache.find_workflow(namespace, reference) or reference
        try:
            body = await self._gateway.get_workflow(namespace, name)
        except ApiError as error:
            if error.status == 404:
                raise WorkflowNotFoundError(reference) from None
            raise
        resource = parse(body)
        if not isinstance(resource, Workflow):
            raise WorkflowNotFoundError(reference)
        return resource

    async def _pin(self, namespace: str, name: str, plan: Plan) -> None:
        body: dict[str, Any] = {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": plan.revision,
                "namespace": namespace,
                "labels": {
                    "app.kubernetes.io/managed-by": "podium",
                    LABEL_WORKFLOW: label_value(name),
                    f"{GROUP}/pinned": "true",
                },
            },
            "revision": 1,
            "data": {
                "workflowId": plan.workflow_id,
                "spec": plan.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            },
        }
        try:
            await self._gateway.create_revision(namespace, body)
        except ApiError as error:
            if error.status != 409:
                raise

    def _remember(
        self, namespace: str, revision: str, format_version: int | None = FORMAT_VERSION
    ) -> Plan | None:
        key = namespace, revision, format_version
        plan = self._plans.get(key)
        if plan is not None:
            self._plans.move_to_end(key)
        return plan

    def _keep(
        self, namespace: str, plan: Plan, format_version: int | None = FORMAT_VERSION
    ) -> None:
        self._plans[namespace, plan.revision, format_version] = plan
        while len(self._plans) > KEPT_PLANS:
            key, _ = self._plans.popitem(last=False)
            self._pinned_at.pop(key[:2], None)


def _in_words_of(stored: dict[str, Any], spec: WorkflowSpec) -> dict[str, Any]:
    """Return a definition as data, its trigger rules in the words of an earlier version."""
    made: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for node, before in zip(made["nodes"], stored["nodes"], strict=True):
        if "triggerRule" in before:
            node["triggerRule"] = before["triggerRule"]
    return made


def spec_hash(body: Mapping[str, Any]) -> str:
    """Return the hash of what never changes of a run and has no schema: its context and graph."""
    spec = mapping(body.get("spec"))
    return digest_of([spec.get("context"), spec.get("workflowSpec")])


def has_changed(body: Mapping[str, Any], known: str | None) -> bool:
    """Return whether a run has another context or graph than it began with; None: not known."""
    return known is not None and spec_hash(body) != known


def revision_name(workflow: str, spec: WorkflowSpec) -> str:
    """Name the revision of a definition."""
    return f"{_prefix(workflow)}-{definition_digest(spec)[:DIGITS]}"


def _prefix(workflow: str) -> str:
    return object_name(workflow)[:40].rstrip("-")


def describe(error: Exception) -> str:
    """Describe what keeps a run from its definition."""
    if isinstance(error, WorkflowNotFoundError):
        name = str(error)
        return f"there is no Workflow {name!r}" if name else "the run has a graph of its own"
    return str(error)
