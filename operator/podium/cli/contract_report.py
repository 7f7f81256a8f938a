"""What `podium contract` finds: of versions of ContractSchemas, and along edges."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from podium.api.contract_schemas import ContractSchemaSpec, judge_versions
from podium.api.problems import Path, Problem, Severity, format_path
from podium.api.resources import ContractSchema
from podium.api.source.files import Document
from podium.cli.checked_file import CheckedFile
from podium.dag import WorkflowDAG
from podium.dag.satisfaction import Unsatisfied, unsatisfied

__all__ = ["JudgedVersion", "TestedEdge", "judged", "tested"]

SATISFIED, OPEN, BROKEN = "satisfied", "open", "broken"


class JudgedVersion(NamedTuple):
    """A version of a ContractSchema of a file."""

    document: Document
    schema: str
    version: str
    compared_with: str
    """The version before it; empty: it is the first."""
    rule: str
    problems: list[str]
    path: Path

    @property
    def is_compatible(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    def entry(self) -> dict[str, Any]:
        """Return it as data."""
        return {
            "file": self.document.file,
            "line": self.document.line_of(self.path),
            "contractSchema": self.schema,
            "version": self.version,
            "comparedWith": self.compared_with or None,
            "compatibility": self.rule,
            "compatible": self.is_compatible,
            "problems": self.problems,
        }


def judged(
    files: Iterable[CheckedFile], published: Mapping[str, ContractSchemaSpec]
) -> Iterator[JudgedVersion]:
    """Judge the ContractSchemas of files, each beside what is published of that name.

    `published` is what the cluster has; what an earlier file has counts as published, too.
    """
    known = dict(published)
    for file in files:
        for document, schema in file.contract_schemas:
            yield from _judged(document, schema, known.get(schema.metadata.name))
            known[schema.metadata.name] = schema.spec


def _judged(
    document: Document, schema: ContractSchema, before: ContractSchemaSpec | None
) -> Iterator[JudgedVersion]:
    spec, name = schema.spec, schema.metadata.name
    positions = {each.version: position for position, each in enumerate(spec.versions)}
    changes = dict(_changes(spec, before)) if before is not None else {}
    for verdict in judge_versions(spec):
        path = ("spec", "versions", positions[verdict.version])
        problems = [*verdict.problems, *changes.pop(verdict.version, [])]
        rule = spec.compatibility.value
        yield JudgedVersion(
            document, name, verdict.version, verdict.compared_with, rule, problems, path
        )
    for version, problems in changes.items():
        where: Path = ("spec", "direction" if not version else "versions")
        yield JudgedVersion(document, name, version, "", spec.compatibility.value, problems, where)


def _changes(
    spec: ContractSchemaSpec, before: ContractSchemaSpec
) -> Iterator[tuple[str, list[str]]]:
    """Return, by version, what a policy of the API server would refuse."""
    now = {each.version: each for each in spec.versions}
    for old in before.versions:
        new = now.get(old.version)
        if new is None:
            yield old.version, ["is published and not here: a version does not go, add it again"]
        elif _content(new) != _content(old):
            yield old.version, ["is published and differs: leave it as it was, and add a version"]
    order = [each.version for each in before.versions if each.version in now]
    kept = [version for version in now if version in order]
    if order != kept:
        yield kept[0], ["published versions are in another order: keep theirs, add others behind"]
    if spec.direction is not before.direction:
        message = f"spec.direction was {before.direction.value}, and is fixed: write that again"
        yield "", [message]


def _content(version: Any) -> dict[str, Any]:
    made: dict[str, Any] = version.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return made


class TestedEdge(NamedTuple):
    """An edge, or the way from the context, along which something is needed."""

    workflow: str
    producer: str
    consumer: str
    verdict: str
    problems: list[Problem]
    """Each names its place in the file."""
    paths: list[str]
    """NODE.PATH of each."""

    def entry(self) -> dict[str, Any]:
        """Return it as data."""
        return {
            "workflow": self.workflow,
            "from": self.producer,
            "to": self.consumer,
            "verdict": self.verdict,
            "problems": [
                {
                    "file": each.file,
                    "line": each.line,
                    "field": format_path(each.path),
                    "path": path,
                    "severity": each.severity.value,
                    "message": each.message,
                }
                for each, path in zip(self.problems, self.paths, strict=True)
            ],
        }


def tested(file: CheckedFile) -> Iterator[TestedEdge]:
    """Test the contracts of each workflow of a sound file."""
    for document, workflow in file.workflows:
        dag = file.graph_of(workflow.spec)
        yield from _tested(document, workflow.metadata.name, dag, ("spec",))
    for document, run in file.runs:
        if run.spec.workflow_spec is not None:
            dag = file.graph_of(run.spec.workflow_spec)
            name = run.metadata.name or run.metadata.generate_name
            yield from _tested(document, name, dag, ("spec", "workflowSpec"))


def _tested(document: Document, name: str, dag: WorkflowDAG, base: Path) -> Iterator[TestedEdge]:
    ways: dict[tuple[str, str], list[Unsatisfied]] = {}
    for edge in dag.edges:
        if dag.nodes[edge.target].input_contract is not None or edge.edge.data_mapping:
            ways[edge.source, edge.target] = []
    for found in unsatisfied(dag):
        ways.setdefault((found.producer, found.consumer), []).append(found)
    for (producer, consumer), found_there in ways.items():
        verdict = SATISFIED
        if found_there:
            verdict = OPEN if all(each.is_open for each in found_there) else BROKEN
        problems = [document.located(_problem(each, base)) for each in found_there]
        paths = [each.finding.where for each in found_there]
        yield TestedEdge(name, producer, consumer, verdict, problems, paths)


def _problem(found: Unsatisfied, base: Sequence[str | int]) -> Problem:
    severity = Severity.WARNING if found.is_open else Severity.ERROR
    return Problem((*base, *found.path), str(found.finding), severity)
