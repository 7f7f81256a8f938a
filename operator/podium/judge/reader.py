"""Objects of the cluster, read for the operator: checked in a worker unless they are small.

A worker only gives its verdict. What is valid the operator then builds from what it has, which
needs no check any more, in slices between which its event loop goes on.
"""

from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from podium.api.problems import InvalidError, Path, Problem, errors
from podium.api.resources import ObjectMeta, Workflow, WorkflowRun
from podium.api.run import WorkflowRunSpec
from podium.api.workflow import Edge, Node, WorkflowSpec
from podium.contracts import Verdict
from podium.dag import WorkflowDAG
from podium.engine import (
    ContextCheck,
    Plan,
    check_context,
    context_of,
    digest_of,
    find_required_keys,
    selected_nodes,
)
from podium.judge import contract_schemas, objects, personas
from podium.judge.executors import (
    NO_EXECUTORS,
    Resolved,
    definition_of,
    load_valid_executors,
    load_valid_schemas,
    load_valid_store,
    with_resolved,
)
from podium.judge.objects import Checked
from podium.judge.pool import OverBudgetError, Pool
from podium.judge.slices import in_slices
from podium.judge.small import is_quickly_read, is_small
from podium.kinds import CheckedValues, checked_values

__all__ = ["Reader", "Reading"]

READ_SECONDS = 10.0
"""Time of the processor for a whole object: a definition of 5,000 nodes takes one or two."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A valid object."""

    resource: Workflow | WorkflowRun
    checked: Checked
    dag: WorkflowDAG | None = None
    """Its graph, if it is small."""


class Reader:
    """Reads objects, on behalf of whose namespace they are in."""

    def __init__(self, pool: Pool, offered: Collection[str] = ()) -> None:
        self._pool = pool
        self._offered = list(offered)
        """Chart values that are on, of those that some fields need."""

    async def refusal(self, data: bytes, *, asker: str) -> str:
        """Return why an object, as JSON, is too large to be read; empty: it may be read.

        Raises `JudgeError`: no worker could say, so it must not be read here either.
        """
        if is_quickly_read(data):
            return ""
        try:
            answer = await self._pool.ask(objects.BOUNDS, data, asker=asker, seconds=READ_SECONDS)
        except OverBudgetError as error:
            return f"spec: to read it {error}: make it smaller"
        return answer.decode()

    async def check(
        self, body: Mapping[str, Any], *, asker: str, executors: Resolved = NO_EXECUTORS
    ) -> Checked:
        """Check an object and return what it is warned of. Raises as `read` does."""
        if _is_small(body, executors):
            offered = self._offered
            return objects.check(body, is_pinned=False, offered=offered, executors=executors)[2]
        return await self._check(body, asker=asker, is_pinned=False, executors=executors)

    async def read(
        self,
        body: Mapping[str, Any],
        *,
        asker: str,
        is_pinned: bool = False,
        executors: Resolved = NO_EXECUTORS,
    ) -> Reading:
        """Check an object and return it, with the executors that its definition names.

        Raises `InvalidError`, `OverBudgetError`, `JudgeError`.
        """
        if _is_small(body, executors):
            resource, dag, checked = objects.check(
                body, is_pinned=is_pinned, offered=self._offered, executors=executors
            )
            return Reading(resource, checked, dag)
        checked = await self._check(body, asker=asker, is_pinned=is_pinned, executors=executors)
        resource = await in_slices(_build(body))
        if executors.bodies:
            named, store = load_valid_executors(executors), load_valid_store(executors)
            definition = definition_of(resource)
            assert definition is not None  # noqa: S101 - it names what is resolved
            schemas = load_valid_schemas(definition, executors)
            asked = personas.load_valid(executors.personas)
            resource = with_resolved(resource, named, store, schemas, asked)
        return Reading(resource, checked)

    async def judge_contract_schema(self, body: Mapping[str, Any], *, asker: str) -> list[Verdict]:
        """Return a verdict on each version of a ContractSchema, by a worker.

        Raises `InvalidError`, `OverBudgetError`, `JudgeError`.
        """
        task, asked = contract_schemas.CONTRACTS, _encoded(_without_status(body))
        answer = await self._pool.ask(task, asked, asker=asker, seconds=READ_SECONDS)
        return contract_schemas.load_verdicts(answer)

    async def plan_of(
        self, reading: Reading, *, workflow_id: str, revision: str = "", base: Path = ("spec",)
    ) -> Plan:
        """Compile the definition in an object."""
        resource = reading.resource
        spec = resource.spec if isinstance(resource, Workflow) else resource.spec.workflow_spec
        assert spec is not None  # noqa: S101 - whoever calls saw to it
        return await self.plan(
            spec, dag=reading.dag, workflow_id=workflow_id, revision=revision, base=base
        )

    async def plan(
        self,
        spec: WorkflowSpec,
        *,
        workflow_id: str,
        revision: str = "",
        base: Path = ("spec",),
        dag: WorkflowDAG | None = None,
    ) -> Plan:
        """Compile a definition that was checked."""
        plan = await in_slices(
            Plan.in_slices(spec, workflow_id=workflow_id, revision=revision, base=base, dag=dag)
        )
        if spec.inputs is None:
            await in_slices(find_required_keys(plan))
        return plan

    async def pinned_plan(self, spec: WorkflowSpec, *, workflow_id: str, revision: str) -> Plan:
        """Compile a definition that a run is pinned to: its shape alone is checked once more.

        Raises `InvalidError`.
        """
        plan = await self.plan(spec, workflow_id=workflow_id, revision=revision)
        if errors(plan.dag.shape_problems):
            raise InvalidError(plan.dag.shape_problems)
        return plan

    async def context(
        self,
        plan: Plan,
        spec: WorkflowRunSpec,
        *,
        asker: str,
        is_pinned: bool = False,
        only_declared: bool = False,
    ) -> tuple[dict[str, Any], list[Problem]]:
        """Return context version 0 of a run, and what is wrong with it.

        Of one that has begun the context was checked when it did. Raises `OverBudgetError`,
        `JudgeError`.
        """
        definition = plan.spec
        asked = _asked_of(definition, spec.context, only_declared=only_declared)
        if definition.inputs is None or is_small(asked):
            context = context_of(definition, spec.context)
            if is_pinned:
                return context, []
            return context, check_context(
                plan,
                context,
                given=spec.context,
                only_declared=only_declared,
                selected=selected_nodes(plan, spec),
            )
        data = await self._ask(objects.INPUTS, asked, asker)
        return data["context"], objects.load_problems(data["problems"])

    async def check_context(self, check: ContextCheck, *, asker: str) -> tuple[Problem, ...]:
        """Return what is wrong with a context as a request makes it.

        Raises `OverBudgetError`, `JudgeError`.
        """
        definition = check.plan.spec
        asked = _asked_of(definition, check.context, only_declared=check.only_declared)
        asked["given"] = sorted(check.given)
        if definition.inputs is None or is_small(asked):
            return tuple(check.problems())
        return tuple(objects.load_problems(await self._ask(objects.CONTEXT, asked, asker)))

    async def check_values(
        self, fields: Mapping[str, Any], values: Mapping[str, Any], *, asker: str
    ) -> CheckedValues:
        """Check what an approver filled in. Raises `OverBudgetError`, `JudgeError`."""
        asked = {"fields": fields, "values": values}
        if is_small(asked):
            return checked_values(fields, values)
        data = await self._ask(objects.VALUES, asked, asker)
        return CheckedValues(data["values"], tuple(data["problems"]))

    async def digest(self, value: Any, *, asker: str) -> str:
        """Return the hash of any JSON. Raises `OverBudgetError`, `JudgeError`."""
        if is_small(value):
            return digest_of(value)
        answer = await self._pool.ask(objects.DIGEST, _encoded(value), asker=asker)
        return answer.decode()

    async def build(self, spec: Mapping[str, Any]) -> WorkflowSpec:
        """Make a definition of data whose hash says that they were checked.

        Raises `pydantic.ValidationError` if they were not.
        """
        return await in_slices(_build_spec(spec))

    async def dump(self, spec: WorkflowSpec) -> dict[str, Any]:
        """Return a definition as data."""
        return await in_slices(_dump_spec(spec))

    async def _check(
        self, body: Mapping[str, Any], *, asker: str, is_pinned: bool, executors: Resolved
    ) -> Checked:
        asked = {
            "body": _without_status(body),
            "isPinned": is_pinned,
            "offered": self._offered,
            "executors": _without_statuses(executors.found),
            "known": list(executors.known),
            "schemas": _without_statuses(executors.schemas),
            "personas": _without_statuses(executors.personas.personas),
            "models": _without_statuses(executors.personas.models),
            "store": None if executors.store is None else _without_status(executors.store),
        }
        data = await self._ask(objects.CHECK, asked, asker)
        if "invalid" in data:
            raise InvalidError(objects.load_problems(data["invalid"]))
        return Checked(objects.load_problems(data["problems"]), data["nodes"], data["digest"])

    async def _ask(self, task: str, asked: Mapping[str, Any], asker: str) -> Any:
        answer = await self._pool.ask(task, _encoded(asked), asker=asker, seconds=READ_SECONDS)
        return orjson.loads(answer)


def _asked_of(
    definition: WorkflowSpec, context: Mapping[str, Any], *, only_declared: bool
) -> dict[str, Any]:
    return {
        "inputs": definition.inputs,
        "globalContext": definition.global_context,
        "constants": definition.constants,
        "context": context,
        "onlyDeclared": only_declared,
    }


def _encoded(value: Any) -> Callable[[], bytes]:
    """Return what encodes a question, once it is its turn."""

    def encode() -> bytes:
        try:
            return orjson.dumps(value)
        except TypeError:  # orjson takes 254 levels
            raise OverBudgetError("is nested too deep") from None

    return encode


def _is_small(body: Mapping[str, Any], executors: Resolved) -> bool:
    """Return whether an object and the executors that it names are checked in a moment."""
    if executors.schemas:  # to compare schemas takes steps that no size tells of
        return False
    whole = [_without_status(body), *map(_without_status, executors.bodies)]
    return is_small(whole if len(whole) > 1 else whole[0])


def _without_status(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a user wrote of an object."""
    meta = body.get("metadata")
    kept = {key: value for key, value in body.items() if key != "status"}
    if isinstance(meta, Mapping):  # what the server notes of its writers is as large as what it is
        kept["metadata"] = {key: meta[key] for key in meta if key != "managedFields"}
    return kept


def _without_statuses(bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: _without_status(each) for name, each in bodies.items()}


def _build(body: Mapping[str, Any]) -> Generator[None, None, Workflow | WorkflowRun]:
    """Make an object that a worker found valid."""
    spec, meta = body["spec"], ObjectMeta.model_validate(body.get("metadata") or {})
    of_all = {"api_version": body["apiVersion"], "kind": body["kind"], "metadata": meta}
    given = {*of_all, "spec"}
    if body["kind"] == Workflow.KIND:
        made = yield from _build_spec(spec)
        return Workflow.model_construct(given, **of_all, spec=made)
    run = WorkflowRunSpec.model_validate({k: v for k, v in spec.items() if k != "workflowSpec"})
    if spec.get("workflowSpec") is not None:
        own = yield from _build_spec(spec["workflowSpec"])
        run = run.model_copy(update={"workflow_spec": own})
    return WorkflowRun.model_construct(given, **of_all, spec=run)


def _build_spec(spec: Mapping[str, Any]) -> Generator[None, None, WorkflowSpec]:
    nodes, edges = [], []
    for each in spec["nodes"]:
        nodes.append(Node.model_validate(each))
        yield
    for each in spec.get("edges") or ():
        edges.append(Edge.model_validate(each))
        yield
    head = {key: value for key, value in spec.items() if key not in ("nodes", "edges")}
    made = WorkflowSpec.model_validate({**head, "nodes": nodes[:1]})
    return made.model_copy(update={"nodes": nodes, **({"edges": edges} if "edges" in spec else {})})


def _dump_spec(spec: WorkflowSpec) -> Generator[None, None, dict[str, Any]]:
    made: dict[str, Any] = spec.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude={"nodes", "edges"}
    )
    for name, parts in (("nodes", spec.nodes), ("edges", spec.edges)):
        if parts:
            made[name] = []
        for part in parts:
            made[name].append(part.model_dump(mode="json", by_alias=True, exclude_defaults=True))
            yield
    return made
