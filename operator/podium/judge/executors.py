"""Resources that a definition names: as they were found, and made a part of the definition."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from podium import executors
from podium.api.artifact_stores import ArtifactStoreSpec
from podium.api.contract_schemas import ContractSchemaSpec, PinnedSchema, schema_problems
from podium.api.executors import ExecutorSpec
from podium.api.problems import InvalidError, Path, Problem, errors
from podium.api.resources import (
    ArtifactStore,
    ClusterExecutor,
    ContractSchema,
    Executor,
    Workflow,
    WorkflowRun,
)
from podium.api.source.files import parse
from podium.api.workflow import MAX_GROUP_DEPTH, WorkflowSpec
from podium.dag.contracts import pin_schemas, schema_references
from podium.judge import personas
from podium.judge.personas import NO_PERSONAS, PinnedPersonas, ResolvedPersonas

__all__ = [
    "NO_EXECUTORS",
    "Resolved",
    "definition_of",
    "load_executors",
    "load_personas",
    "load_schemas",
    "load_store",
    "load_valid_executors",
    "load_valid_schemas",
    "load_valid_store",
    "names_in",
    "names_others",
    "personas_in",
    "schemas_in",
    "store_in",
    "with_resolved",
]


class Resolved(NamedTuple):
    """The resources that one definition names: executors, a store, schemas, personas."""

    found: Mapping[str, Mapping[str, Any]]
    """Objects by name, as the API server has them."""
    known: Sequence[str] = ()
    """Names of some that there are, where one that is named is not."""
    store: Mapping[str, Any] | None = None
    """The ArtifactStore, as the API server has it."""
    schemas: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """ContractSchemas by name, as the API server has them."""
    personas: ResolvedPersonas = NO_PERSONAS
    """Its personas, and the models that answer for them."""

    @property
    def bodies(self) -> list[Mapping[str, Any]]:
        """All of them."""
        stores = [] if self.store is None else [self.store]
        return [*self.found.values(), *stores, *self.schemas.values(), *self.personas.bodies]


NO_EXECUTORS = Resolved({})


def names_in(definition: Any) -> list[str]:
    """Return the executors that an unchecked definition names and that are not built in."""
    found: dict[str, None] = {}
    for node in _nodes_of(definition):
        name = node.get("executor") if isinstance(node, Mapping) else None
        if isinstance(name, str) and executors.get(name) is None:
            found[name] = None
    return list(found)


def store_in(definition: Any) -> str:
    """Return the ArtifactStore that an unchecked definition names; empty: none."""
    artifacts = definition.get("artifacts") if isinstance(definition, Mapping) else None
    name = artifacts.get("store") if isinstance(artifacts, Mapping) else None
    return name if isinstance(name, str) else ""


def schemas_in(definition: Any) -> list[str]:
    """Return the ContractSchemas that an unchecked definition names."""
    found: dict[str, None] = {}
    for node in _nodes_of(definition):
        for field in ("inputContract", "outputContract"):
            contract = node.get(field) if isinstance(node, Mapping) else None
            reference = contract.get("schemaRef") if isinstance(contract, Mapping) else None
            name = reference.get("name") if isinstance(reference, Mapping) else None
            if isinstance(name, str):
                found[name] = None
    return list(found)


def personas_in(definition: Any) -> list[str]:
    """Return the Personas that an unchecked definition names, whether they exist or not."""
    return personas.names_in(_nodes_of(definition))


def names_others(definition: Any, *, personas: bool = True) -> bool:
    """Return whether an unchecked definition names resources that are pinned with it.

    `personas`: whether those are, which are not where their answers are recorded.
    """
    finders = (names_in, store_in, schemas_in, *([personas_in] if personas else []))
    return any(find(definition) for find in finders)


def _nodes_of(definition: Any, depth: int = MAX_GROUP_DEPTH) -> Iterator[Any]:
    """Return the nodes of an unchecked definition, members of groups and compensations too."""
    for field in ("nodes", "finally") if isinstance(definition, Mapping) else ():
        nodes = definition.get(field)
        for node in nodes if isinstance(nodes, list) else ():
            yield node
            undoing = node.get("compensation") if isinstance(node, Mapping) else None
            if isinstance(undoing, Mapping):
                yield {**undoing, "executor": undoing.get("executor") or node.get("executor")}
            if depth and isinstance(node, Mapping) and "nodes" in node:
                yield from _nodes_of({"nodes": node["nodes"]}, depth - 1)


def definition_of(resource: Workflow | WorkflowRun) -> WorkflowSpec | None:
    """Return the definition in a resource; None: a run names a Workflow."""
    return resource.spec if isinstance(resource, Workflow) else resource.spec.workflow_spec


def load_executors(
    resource: Workflow | WorkflowRun, resolved: Resolved
) -> tuple[dict[str, ExecutorSpec], list[Problem]]:
    """Read the executors that a definition names, and say at the node what is wrong with one."""
    definition = definition_of(resource)
    base: Path = ("spec",) if isinstance(resource, Workflow) else ("spec", "workflowSpec")
    made: dict[str, ExecutorSpec] = {}
    problems = []
    for name, body in resolved.found.items():
        try:
            made[name] = _spec_of(body)
        except InvalidError as invalid:
            nodes = () if definition is None else definition.placed_nodes()
            place = next((at for at, node in nodes if node.executor == name), ("nodes", 0))
            words = "; ".join(str(problem) for problem in invalid.problems[:5])
            message = f"the {body.get('kind')} {name!r:.80} is not valid: {words}"
            problems.append(Problem((*base, *place, "executor"), message))
    return made, problems


def load_valid_executors(resolved: Resolved) -> dict[str, ExecutorSpec]:
    """Read executors that a worker found valid."""
    return {
        name: ExecutorSpec.model_validate(body["spec"]) for name, body in resolved.found.items()
    }


def _spec_of(body: Mapping[str, Any]) -> ExecutorSpec:
    made = parse({**body, "metadata": {"name": body["metadata"]["name"]}})
    if not isinstance(made, Executor | ClusterExecutor):
        raise InvalidError([Problem(("kind",), "is not Executor or ClusterExecutor")])
    return made.spec


def load_store(
    resource: Workflow | WorkflowRun, resolved: Resolved
) -> tuple[ArtifactStoreSpec | None, list[Problem]]:
    """Read the store that a definition names, and say at the field what is wrong with it."""
    body = resolved.store
    if body is None:
        return None, []
    name = str(body["metadata"]["name"])
    try:
        made = parse({**body, "metadata": {"name": name}})
        if not isinstance(made, ArtifactStore):
            raise InvalidError([Problem(("kind",), "is not ArtifactStore")])
    except InvalidError as invalid:
        base: Path = ("spec",) if isinstance(resource, Workflow) else ("spec", "workflowSpec")
        words = "; ".join(str(problem) for problem in invalid.problems[:5])
        message = f"the ArtifactStore {name!r:.80} is not valid: {words}"
        return None, [Problem((*base, "artifacts", "store"), message)]
    return made.spec, []


def load_valid_store(resolved: Resolved) -> ArtifactStoreSpec | None:
    """Read a store that a worker found valid."""
    store = resolved.store
    return None if store is None else ArtifactStoreSpec.model_validate(store["spec"])


def load_schemas(
    resource: Workflow | WorkflowRun, resolved: Resolved
) -> tuple[dict[str, PinnedSchema], list[Problem]]:
    """Read the schemas that contracts name, and say at the contract what is wrong with one."""
    definition = definition_of(resource)
    if definition is None or not resolved.schemas:
        return {}, []
    base: Path = ("spec",) if isinstance(resource, Workflow) else ("spec", "workflowSpec")
    known: dict[str, ContractSchemaSpec | None] = {}
    problems = []
    for name, body in resolved.schemas.items():
        try:
            known[name] = _schema_of(body, name)
        except InvalidError as invalid:
            known[name] = None
            words = "; ".join(str(problem) for problem in invalid.problems[:5])
            message = f"the ContractSchema {name!r:.80} is not valid: {words}"
            problems.append(Problem((*base, "nodes"), message))
    pinned, more = pin_schemas(definition, known, "create it in the namespace")
    problems += [replace(each, path=(*base, *each.path)) for each in more]
    return pinned, problems


def _schema_of(body: Mapping[str, Any], name: str) -> ContractSchemaSpec:
    """Return a sound ContractSchema. Raises `InvalidError`."""
    made = parse({**body, "metadata": {"name": name}})
    if not isinstance(made, ContractSchema):
        raise InvalidError([Problem(("kind",), "is not ContractSchema")])
    if found := errors(schema_problems(made.spec)):
        raise InvalidError(found)
    return made.spec


def load_valid_schemas(definition: WorkflowSpec, resolved: Resolved) -> dict[str, PinnedSchema]:
    """Read the schemas that contracts name, which a worker found valid and compatible."""
    wanted = {each.reference.key for each in schema_references(definition)}
    found = {}
    for name, body in resolved.schemas.items():
        for version in body["spec"]["versions"]:
            key = f"{name}/{version['version']}"
            if key in wanted:
                fields = version.get("requiredFields") or []
                found[key] = PinnedSchema(schema_=version["schema"], required_fields=fields)
    return found


def load_personas(
    resource: Workflow | WorkflowRun, resolved: Resolved
) -> tuple[PinnedPersonas, list[Problem]]:
    """Read the personas that a definition names, and say at the node what is wrong with one."""
    base: Path = ("spec",) if isinstance(resource, Workflow) else ("spec", "workflowSpec")
    return personas.load(definition_of(resource), resolved.personas, base)


def with_resolved(
    resource: Workflow | WorkflowRun,
    executors: Mapping[str, ExecutorSpec],
    store: ArtifactStoreSpec | None,
    schemas: Mapping[str, PinnedSchema],
    asked: PinnedPersonas,
    problems: Sequence[Problem] = (),
) -> Workflow | WorkflowRun:
    """Return a resource whose definition has what it names. Raises `InvalidError`: `problems`."""
    if problems:
        raise InvalidError(problems)
    if not executors and store is None and not schemas and not any(asked):
        return resource
    definition = definition_of(resource)
    assert definition is not None  # noqa: S101 - whoever calls saw to it
    more: dict[str, Any] = {"executors": dict(executors)} if executors else {}
    more |= {} if store is None else {"pinned_store": store}
    more |= {"pinned_schemas": dict(schemas)} if schemas else {}
    more |= {"pinned_personas": asked.personas} if asked.personas else {}
    more |= {"pinned_models": asked.models} if asked.models else {}
    whole = definition.model_copy(update=more)
    if isinstance(resource, Workflow):
        return resource.model_copy(update={"spec": whole})
    spec = resource.spec.model_copy(update={"workflow_spec": whole})
    return resource.model_copy(update={"spec": spec})
