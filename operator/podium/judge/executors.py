"""Executors that a definition names: as they were found, and made a part of the definition."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from podium import executors
from podium.api.executors import ExecutorSpec
from podium.api.problems import InvalidError, Path, Problem
from podium.api.resources import ClusterExecutor, Executor, Workflow, WorkflowRun
from podium.api.source.files import parse
from podium.api.workflow import WorkflowSpec

__all__ = [
    "NO_EXECUTORS",
    "Resolved",
    "definition_of",
    "load_executors",
    "load_valid_executors",
    "names_in",
    "with_executors",
]


class Resolved(NamedTuple):
    """The executors of one definition that are resources."""

    found: Mapping[str, Mapping[str, Any]]
    """Objects by name, as the API server has them."""
    known: Sequence[str] = ()
    """Names of some that there are, where one that is named is not."""


NO_EXECUTORS = Resolved({})


def names_in(definition: Any) -> list[str]:
    """Return the executors that an unchecked definition names and that are not built in."""
    nodes = definition.get("nodes") if isinstance(definition, Mapping) else None
    found: dict[str, None] = {}
    for node in nodes if isinstance(nodes, list) else ():
        name = node.get("executor") if isinstance(node, Mapping) else None
        if isinstance(name, str) and executors.get(name) is None:
            found[name] = None
    return list(found)


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
            nodes = () if definition is None else definition.nodes
            position = next((i for i, node in enumerate(nodes) if node.executor == name), 0)
            words = "; ".join(str(problem) for problem in invalid.problems[:5])
            message = f"the {body.get('kind')} {name!r:.80} is not valid: {words}"
            problems.append(Problem((*base, "nodes", position, "executor"), message))
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


def with_executors(
    resource: Workflow | WorkflowRun,
    executors: Mapping[str, ExecutorSpec],
    problems: Sequence[Problem] = (),
) -> Workflow | WorkflowRun:
    """Return a resource whose definition has its executors. Raises `InvalidError`: `problems`."""
    if problems:
        raise InvalidError(problems)
    if not executors:
        return resource
    definition = definition_of(resource)
    assert definition is not None  # noqa: S101 - whoever calls saw to it
    whole = definition.model_copy(update={"executors": dict(executors)})
    if isinstance(resource, Workflow):
        return resource.model_copy(update={"spec": whole})
    spec = resource.spec.model_copy(update={"workflow_spec": whole})
    return resource.model_copy(update={"spec": spec})
