"""Whole objects, checked in a worker: whether they are valid, and what is wrong with them."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from podium.api.artifact_rules import ARTIFACT_STORE
from podium.api.checks import check_size
from podium.api.outputs import FROM_LOGS, file_outputs, printed_outputs
from podium.api.problems import InvalidError, Path, Problem, Severity, errors
from podium.api.resources import Workflow, WorkflowRun
from podium.api.source.files import parse
from podium.api.workflow import WorkflowSpec
from podium.artifacts.reach import IN_POD
from podium.dag import WorkflowDAG
from podium.engine import check_inputs, context_of, definition_digest, digest_of
from podium.judge.executors import (
    NO_EXECUTORS,
    Resolved,
    definition_of,
    load_executors,
    load_personas,
    load_schemas,
    load_store,
    with_resolved,
)
from podium.judge.personas import ResolvedPersonas
from podium.kinds import checked_values

__all__ = [
    "BOUNDS",
    "CHECK",
    "CONTEXT",
    "DIGEST",
    "INPUTS",
    "MAX_DEPTH",
    "MAX_VALUES",
    "VALUES",
    "Checked",
    "answer_bounds",
    "answer_check",
    "answer_context",
    "answer_digest",
    "answer_inputs",
    "answer_values",
    "check",
    "dump_problems",
    "load_problems",
    "worst_bounds",
]

CHECK, INPUTS, CONTEXT, DIGEST, BOUNDS = "check", "inputs", "context", "digest", "bounds"
VALUES = "values"
MAX_DEPTH = 100
MAX_VALUES = 100_000
"""Values in an object that the operator keeps in its memory, keys not counted."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in an object."""

    problems: list[Problem]
    """What its definition is warned of; of an invalid one nothing is here."""
    nodes: int
    digest: str
    """Hash of the definition; empty: it has none of its own."""


def check(
    body: Mapping[str, Any],
    *,
    is_pinned: bool,
    offered: Container[str] = (),
    executors: Resolved = NO_EXECUTORS,
) -> tuple[Workflow | WorkflowRun, WorkflowDAG | None, Checked]:
    """Check a Workflow or a WorkflowRun and its graph. Raises `InvalidError`.

    `offered` are chart values that are on, of those that some fields need, `executors` those that
    its nodes name, the store of its artifacts, and the schemas of its contracts. Of one that a run
    is pinned to only the graph's shape is checked again (`Plan.build`).
    """
    resource = parse(dict(body))
    if not isinstance(resource, Workflow | WorkflowRun):
        raise InvalidError([Problem(("kind",), "is not Workflow or WorkflowRun")])
    base: Path = ("spec",) if isinstance(resource, Workflow) else ("spec", "workflowSpec")
    if definition_of(resource) is None:
        return resource, None, Checked([], 0, "")
    named, problems = load_executors(resource, executors)
    store, more = load_store(resource, executors)
    schemas, others = load_schemas(resource, executors)
    asked, wrong = load_personas(resource, executors)
    problems = [*problems, *more, *others, *wrong]
    resource = with_resolved(resource, named, store, schemas, asked, problems)
    spec = definition_of(resource)
    assert spec is not None  # noqa: S101 - for the type checker
    dag = WorkflowDAG(spec)
    dag.other_executors = dict.fromkeys(executors.known, True)
    problems = dag.shape_problems if is_pinned else dag.problems(base)
    problems = [*problems, *_not_on_clusters(spec, base, offered, is_pinned=is_pinned)]
    if executors.bodies and not is_pinned:
        problems += check_size(spec, base)
    if errors(problems):
        raise InvalidError(problems)
    digest = definition_digest(spec) if isinstance(resource, Workflow) else ""
    return resource, dag, Checked(problems, len(dag.nodes), digest)


def _not_on_clusters(
    spec: WorkflowSpec, base: Path, offered: Container[str], *, is_pinned: bool
) -> Iterable[Problem]:
    """Find what this cluster does not carry out: what is not handed over must not look as if."""
    has_store = ARTIFACT_STORE in offered or spec.pinned_store is not None
    for here, node in spec.placed_nodes():
        stored = {"artifacts": node.artifacts is not None, "largeOutput": node.large_output}
        for field in (name for name, is_stored in stored.items() if is_stored):
            if has_store or is_pinned:
                break
            message = (
                "this cluster has no store for artifacts: name an ArtifactStore of the namespace"
                " in spec.artifacts.store, ask for one of the cluster (the chart's value"
                f" artifacts.s3 or artifacts.pvc), run it with podium run, or leave {field} out"
            )
            yield Problem((*base, *here, field), message)
        for place, artifact in enumerate((node.artifacts and node.artifacts.in_) or ()):
            scheme = artifact.git.repository.partition("://")[0] if artifact.git else ""
            if scheme and scheme not in IN_POD.schemes:
                path = (*base, *here, "artifacts", "in", place, "git", "repository")
                message = (
                    f"{scheme}:// is for a laptop only: name a URL that begins with https://, with"
                    " a secretRef where it needs one, or with git://"
                )
                yield Problem(path, message)
        where = (*base, *here, "outputs")
        if len(file_outputs(node.outputs)) > 1 and not has_store and not is_pinned:
            message = (
                "has several values from files, and this cluster takes one of a node: it has no"
                " store for artifacts; name an ArtifactStore in spec.artifacts.store, ask for one"
                " of the cluster, or let the program write one file with all of them, format: Json"
            )
            yield Problem(where, message)
        if printed_outputs(node.outputs) and FROM_LOGS not in offered and not is_pinned:
            message = (
                "has values from standard output, which the operator may not read on this cluster:"
                f" its administrators set the chart value {FROM_LOGS}, or let the program write a"
                " file and name its path"
            )
            yield Problem(where, message)


def answer_check(body: bytes) -> bytes:
    """Check an object in a worker."""
    asked: dict[str, Any] = orjson.loads(body)
    try:
        if bounds := worst_bounds(asked["body"]):
            raise InvalidError(bounds)
        resolved = Resolved(
            *(asked["executors"], asked["known"], asked["store"], asked["schemas"]),
            ResolvedPersonas(asked["personas"], asked["models"]),
        )
        pinned, offered = asked["isPinned"], asked["offered"]
        checked = check(asked["body"], is_pinned=pinned, offered=offered, executors=resolved)[2]
    except InvalidError as invalid:
        return orjson.dumps({"invalid": dump_problems(invalid.problems)})
    return orjson.dumps(
        {
            "problems": dump_problems(checked.problems),
            "nodes": checked.nodes,
            "digest": checked.digest,
        }
    )


def answer_inputs(body: bytes) -> bytes:
    """Make the context of a run in a worker, and check it against `inputs`."""
    asked: dict[str, Any] = orjson.loads(body)
    definition = _definition(asked)
    context = context_of(definition, asked["context"])
    given = frozenset(asked["context"])
    problems = check_inputs(definition, context, given=given, only_declared=asked["onlyDeclared"])
    return orjson.dumps({"context": context, "problems": dump_problems(problems)})


def answer_context(body: bytes) -> bytes:
    """Check a context as a re-run makes it against `inputs`."""
    asked: dict[str, Any] = orjson.loads(body)
    given, only_declared = frozenset(asked["given"]), asked["onlyDeclared"]
    problems = check_inputs(
        _definition(asked), asked["context"], given=given, only_declared=only_declared
    )
    return orjson.dumps(dump_problems(problems))


def _definition(asked: Mapping[str, Any]) -> WorkflowSpec:
    """Make what a definition says of contexts."""
    return WorkflowSpec.model_construct(
        inputs=asked["inputs"],
        global_context=asked["globalContext"],
        constants=asked["constants"],
        nodes=[],
    )


def answer_values(body: bytes) -> bytes:
    """Check in a worker what an approver filled in."""
    asked: dict[str, Any] = orjson.loads(body)
    checked = checked_values(asked["fields"], asked["values"])
    problems = [each[:MAX_MESSAGE] for each in checked.problems[:MAX_PROBLEMS]]
    return orjson.dumps({"values": checked.values, "problems": problems})


def answer_digest(body: bytes) -> bytes:
    """Return the hash of any JSON, made in a worker."""
    return digest_of(orjson.loads(body)).encode()


def answer_bounds(body: bytes) -> bytes:
    """Return in a worker why an object is not to be read by the operator; empty: it may be.

    How large its status is, is Podium's own affair.
    """
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return f"spec: is nested too deep, or is not JSON ({error!s:.100})".encode()
    found = worst_bounds({key: value for key, value in read.items() if key != "status"})
    return "; ".join(map(str, found)).encode()


def worst_bounds(body: Mapping[str, Any]) -> list[Problem]:
    """Return where an object is too deep, or holds too many values to be kept in memory."""
    found = []
    for path in (("spec",), ("status",), ("metadata",)):
        waiting: list[tuple[Any, int]] = [(body.get(path[0]), 1)]
        values = 0
        while waiting:
            value, depth = waiting.pop()
            values += 1
            if depth > MAX_DEPTH:
                message = f"is nested deeper than {MAX_DEPTH} levels, the limit: make it flatter"
                found.append(Problem(path, message))
                break
            if isinstance(value, Mapping):
                waiting.extend((each, depth + 1) for each in value.values())
            elif isinstance(value, list):
                waiting.extend((each, depth + 1) for each in value)
        if values > MAX_VALUES:
            message = (
                f"has {values:,} values, and {MAX_VALUES:,} is the limit: hand large data over in"
                " files or in a store, not in the context"
            )
            found.append(Problem(path, message))
    return found


# Problems as data

MAX_PROBLEMS = 200
MAX_MESSAGE = 2000


def dump_problems(problems: Iterable[Problem]) -> list[list[Any]]:
    """Return problems as JSON; of very many the first ones, errors before all else."""
    some = list(problems)
    if len(some) > MAX_PROBLEMS:
        some = sorted(some, key=lambda each: each.severity is not Severity.ERROR)[:MAX_PROBLEMS]
    return [[list(each.path), each.message[:MAX_MESSAGE], each.severity.value] for each in some]


def load_problems(data: Iterable[Any]) -> list[Problem]:
    """Read problems."""
    return [Problem(tuple(path), message, Severity(word)) for path, message, word in data]
