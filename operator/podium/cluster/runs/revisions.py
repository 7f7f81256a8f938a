"""Definitions of runs: found once, then pinned by a ControllerRevision.

The name of a revision holds a hash of its definition, which is checked whenever it is read: a
revision of that name by another author is not trusted.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

from pydantic import ValidationError

from podium.api.formats import FORMAT_VERSION, current_definition
from podium.api.names import GROUP, LABEL_WORKFLOW, label_value, object_name
from podium.api.problems import InvalidError, Problem
from podium.api.resources import Workflow, WorkflowRun
from podium.api.workflow import WorkflowSpec
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.kube.views import dig, mapping, text
from podium.cluster.runs.executor_resolver import ExecutorResolver
from podium.cluster.runs.memory import weigh
from podium.cluster.turns import GroupSlots
from podium.cluster.watch.store import InformerCache
from podium.engine import Plan, definition_digest
from podium.errors import PodiumError
from podium.judge.executors import Resolved
from podium.judge.pool import OverBudgetError
from podium.judge.reader import Reader, Reading

__all__ = [
    "Definitions",
    "WorkflowNotFoundError",
    "describe",
    "revision_name",
]

KEPT_PLANS = 100
KEPT_BYTES = 75_000_000
"""What these plans take together (`memory.weigh`)."""
KEPT_NAMES = 1000
IN_HAND = 3
"""Definitions of a namespace that are read and checked at a time: each may be 20 MB meanwhile."""
PINNED_SECONDS = 10.0
"""A revision that was there is not asked about again for so long: many runs begin at once."""
USED_SECONDS = 20.0
"""So long after a run was handed a revision its status names it, or it asks again."""
DIGITS = 32
"""Hexadecimal digits of the hash in a revision's name: 128 bits."""


_PlanKey = tuple[str, str, int | None]
"""Namespace, revision, and the format in which the run reads it."""


_ObjectKey = tuple[str, str, str, int, str]
"""Namespace, name, UID and generation (0: not known) of a Workflow; of what it names likewise."""


class WorkflowNotFoundError(PodiumError):
    """The run names a Workflow that does not exist (yet)."""


class Definitions:
    """Finds, pins and compiles definitions."""

    def __init__(
        self,
        client: KubernetesClient,
        cache: InformerCache,
        reader: Reader,
        *,
        allows_executors: bool = True,
    ) -> None:
        self._client = client
        self._cache = cache
        self._reader = reader
        self.executors = ExecutorResolver(client, allowed=allows_executors)
        self._plans: OrderedDict[_PlanKey, Plan] = OrderedDict()
        self._alive: WeakValueDictionary[_PlanKey, Plan] = WeakValueDictionary()
        """Also those that are not kept here, as long as runs have them: no run makes another."""
        self._weights: WeakKeyDictionary[Plan, int] = WeakKeyDictionary()
        """Bytes that the plans take."""
        self._known: OrderedDict[_ObjectKey, str] = OrderedDict()
        """Revisions of Workflows as they are, by what identifies an object and its definition."""
        self._in_hand = GroupSlots(IN_HAND)
        self._pinned_at: dict[tuple[str, str], float] = {}
        """When (monotonic) a revision of these plans was last seen or made."""
        self._used_at: dict[tuple[str, str], float] = {}
        """When (monotonic) a run was last handed a revision, the first ones first."""

    async def latest(self, namespace: str, reference: str) -> Plan:
        """Compile the Workflow that a run names, as it is now; its revision is pinned.

        Raises `WorkflowNotFoundError`, `InvalidError`, `ApiError`.
        """
        async with self._in_hand.slot(namespace):
            plan, name, known_as = await self._current(namespace, reference)
        revision = plan.revision
        self._note_use(namespace, revision)
        known = self._pinned_at.get((namespace, revision))
        if known is None or time.monotonic() - known > PINNED_SECONDS:
            await self._pin(namespace, name, plan)
            self._pinned_at[namespace, revision] = time.monotonic()
        self._note(known_as, revision)
        return plan

    async def pin_inline(self, namespace: str, run: str, reading: Reading) -> Plan:
        """Compile and pin the graph of a run that names resources: it keeps them as they are now.

        Raises `ApiError`.
        """
        resource = reading.resource
        assert isinstance(resource, WorkflowRun)  # noqa: S101 - for the type checker
        spec = resource.spec.workflow_spec
        assert spec is not None  # noqa: S101 - whoever calls saw to it
        workflow = spec.id or run
        digest = await self._reader.digest(await self._reader.dump(spec), asker=namespace)
        revision = f"{_prefix(workflow)}-{digest[:DIGITS]}"
        self._note_use(namespace, revision)
        plan = self._remember(namespace, revision)
        if plan is None:
            made = await self._reader.plan_of(
                reading, workflow_id=workflow, revision=revision, base=("spec", "workflowSpec")
            )
            plan = self._keep(
                namespace, made, weigh(await self._reader.dump(spec), len(made.nodes))
            )
        await self._pin(namespace, workflow, plan)
        return plan

    async def _current(self, namespace: str, reference: str) -> tuple[Plan, str, "_ObjectKey"]:
        """Return the plan of a Workflow as it is now, its name, and what identifies it."""
        body = await self._get(namespace, reference)
        executors = await self.executors.resolve(namespace, body.get("spec"))
        name, known_as = str(body["metadata"]["name"]), _key_of(namespace, body, executors)
        plan = self._remember(namespace, self._known.get(known_as, ""))
        if plan is None:
            found = await self._read(namespace, reference, body, executors)
            plan = self._remember(namespace, found.revision)
            if plan is None:
                made = await self._reader.plan_of(
                    found.reading,
                    workflow_id=found.workflow.spec.id or name,
                    revision=found.revision,
                )
                weight = weigh(body.get("spec"), len(made.nodes))
                weight += sum(weigh(each.get("spec")) for each in executors.bodies)
                plan = self._keep(namespace, made, weight)
        return plan, name, known_as

    def weight(self, plan: Plan) -> int:
        """Return the bytes that a plan from here takes."""
        return self._weights.get(plan, 0)

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
            async with self._in_hand.slot(namespace):
                body = await self._get(namespace, reference)
                executors = await self.executors.resolve(namespace, body.get("spec"))
                key = _key_of(namespace, body, executors)
                if key not in self._known:
                    found = await self._read(namespace, reference, body, executors)
                    self._note(key, found.revision)
                    return found.revision != revision
        except (WorkflowNotFoundError, InvalidError, OverBudgetError):
            return False  # revision latest would say what is wrong with it
        return self._known[key] != revision

    async def pinned(
        self, namespace: str, revision: str, format_version: int | None = FORMAT_VERSION
    ) -> Plan:
        """Compile the definition that a run is pinned to.

        Raises `InvalidError`, `ApiError`, `OverBudgetError`.

        `format_version` is that of the run: the same data may mean another thing to an older one.
        """
        plan = self._remember(namespace, revision, format_version)
        if plan is not None:
            return plan
        body = await self._client.get_revision(namespace, revision)
        data = body.get("data")
        data = data if isinstance(data, dict) else {}
        stored = data.get("spec") or {}
        try:
            spec = await self._reader.build(current_definition(stored, format_version))
        except (ValidationError, KeyError, TypeError, AttributeError) as error:
            problem = Problem(("data",), f"the ControllerRevision is damaged: {error!s:.200}")
            raise InvalidError([problem]) from None
        # The hash is one over the data as they were stored; the server may write 2.0 as 2.
        if not await self._is_called(revision, stored, namespace) and not await self._is_called(
            revision, _in_words_of(stored, await self._reader.dump(spec)), namespace
        ):
            message = f"the ControllerRevision {revision} does not hold what its name says"
            raise InvalidError([Problem(("data",), message)])
        workflow = text(data.get("workflowId"))
        # Its name is not part of the hash, but of the revision's name.
        named = revision.startswith(f"{_prefix(workflow)}-")
        if workflow != spec.id if spec.id else not named:
            message = f"the ControllerRevision {revision} is not one of the Workflow {workflow!r}"
            raise InvalidError([Problem(("data",), message)])
        plan = await self._reader.pinned_plan(spec, workflow_id=workflow, revision=revision)
        return self._keep(namespace, plan, weigh(stored, len(plan.nodes)), format_version)

    async def _is_called(self, revision: str, stored: Any, namespace: str) -> bool:
        """Return whether a revision's name has the hash of a definition."""
        digest = await self._reader.digest(stored, asker=namespace)
        return revision.endswith(f"-{digest[:DIGITS]}")

    async def _read(
        self, namespace: str, reference: str, body: dict[str, Any], executors: Resolved
    ) -> "_Found":
        reading = await self._reader.read(body, asker=namespace, executors=executors)
        workflow = reading.resource
        if not isinstance(workflow, Workflow):
            raise WorkflowNotFoundError(reference)
        revision = f"{_prefix(workflow.metadata.name)}-{reading.checked.digest[:DIGITS]}"
        return _Found(reading, workflow, revision)

    def _note(self, key: "_ObjectKey", revision: str) -> None:
        if key[3]:
            self._known[key] = revision
            while len(self._known) > KEPT_NAMES:
                self._known.popitem(last=False)

    async def _get(self, namespace: str, reference: str) -> dict[str, Any]:
        name = self._cache.find_workflow(namespace, reference)
        if name is None:
            for each in self._cache.unknown_workflows(
                namespace
            ):  # it may be the id of one of these
                self._cache.put_workflow(await self._workflow(namespace, each, each))
            name = self._cache.find_workflow(namespace, reference) or reference
        return await self._workflow(namespace, name, reference)

    async def _workflow(self, namespace: str, name: str, reference: str) -> dict[str, Any]:
        try:
            return await self._client.get_workflow(namespace, name)
        except UnreadableError as error:
            raise OverBudgetError(f"is not possible ({error.problem})") from None
        except ApiError as error:
            if error.status == 404:
                raise WorkflowNotFoundError(reference) from None
            raise

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
                "spec": await self._reader.dump(plan.spec),
            },
        }
        try:
            await self._client.create_revision(namespace, body)
        except ApiError as error:
            if error.status != 409:
                raise

    def _remember(
        self, namespace: str, revision: str, format_version: int | None = FORMAT_VERSION
    ) -> Plan | None:
        key = namespace, revision, format_version
        plan = self._alive.get(key)
        return None if plan is None else self._keep(namespace, plan, 0, format_version)

    def _keep(
        self,
        namespace: str,
        made: Plan,
        weight: int,
        format_version: int | None = FORMAT_VERSION,
    ) -> Plan:
        """Keep a plan; return it, or the one that another run made of the same meanwhile."""
        key = namespace, made.revision, format_version
        plan = self._alive.setdefault(key, made)
        self._plans[key] = plan
        self._plans.move_to_end(key)
        self._weights.setdefault(plan, weight)
        # Not the last one: whoever made it uses it.
        while len(self._plans) > 1 and (
            len(self._plans) > KEPT_PLANS
            or sum(self._weights[each] for each in self._plans.values()) > KEPT_BYTES
        ):
            gone, _ = self._plans.popitem(last=False)
            self._pinned_at.pop(gone[:2], None)
        return plan


class _Found(NamedTuple):
    """A Workflow as it is."""

    reading: Reading
    workflow: Workflow
    revision: str


def _key_of(namespace: str, body: Mapping[str, Any], executors: Resolved) -> _ObjectKey:
    """Return what identifies a definition, without a look at it; the generation may be missing."""
    meta = mapping(body.get("metadata"))
    uid, generation = text(meta.get("uid")), meta.get("generation")
    known = generation if uid and isinstance(generation, int) else 0
    of_executors = [
        [text(dig(each, "metadata", "uid")), dig(each, "metadata", "generation")]
        for each in executors.bodies
    ]
    if any(not one or not isinstance(other, int) for one, other in of_executors):
        known = 0
    return namespace, text(meta.get("name")), uid, known, str(of_executors or "")


def _in_words_of(stored: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """Return a definition as data, its trigger rules in the words of an earlier version."""
    for node, before in zip(made["nodes"], stored["nodes"], strict=True):
        if "triggerRule" in before:
            node["triggerRule"] = before["triggerRule"]
    return made


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
