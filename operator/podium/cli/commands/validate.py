"""`podium validate`: all problems of definition files, for people and for programs."""

import sys
from pathlib import Path
from typing import Any

import click

from podium.api.names import GROUP
from podium.api.problems import Problem, errors, errors_and_warnings, format_path
from podium.api.resources import (
    ArtifactStore,
    ClusterExecutor,
    ContractSchema,
    Executor,
    ModelConfig,
    Persona,
    Workflow,
)
from podium.api.source.files import Resource, read_file, read_text
from podium.api.source.source_map import MAX_BYTES
from podium.api.workflow import WorkflowSpec
from podium.cli.checked_file import CheckedFile, check_file
from podium.cli.describe import counted
from podium.cli.documents import to_json
from podium.cli.output import ExitCode, escape_control, say_problems
from podium.engine import Plan, check_context, initial_context

__all__ = ["validate"]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--strict", is_flag=True, help="Treat warnings as errors, but not notes.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["json"]),
    help="Print one JSON object: problems with file, line, column, path, severity and message.",
)
def validate(files: tuple[str, ...], *, strict: bool, output: str | None) -> None:
    """Check definition files, - for standard input: all problems, each with its line.

    Exits 0 if all files are valid, 2 if one is not.
    """
    sound = True
    shown: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    # Standard input can be read once; columns are looked up in its text.
    given = sys.stdin.buffer.read(MAX_BYTES + 1) if "-" in files else b""
    read = [read_file(name) if name != "-" else read_text(given, "<stdin>") for name in files]
    known = {name for file in read for _, each in file.workflows for name in _names(each)}
    for name, each in zip(files, read, strict=True):
        file = check_file(each, known, [other for other in read if other is not each])
        problems = _problems(file)
        bad = errors_and_warnings(problems) if strict else errors(problems)
        sound = sound and not bad
        if output is None:
            _print(file, problems, bad)
        else:
            shown.append(_file_entry(file, valid=not bad))
            found += _problem_entries(problems, given if name == "-" else name)
    if output is not None:
        click.echo(to_json({"valid": sound, "files": shown, "problems": found}))
    if not sound:
        raise click.exceptions.Exit(ExitCode.USAGE)


def _problems(file: CheckedFile) -> list[Problem]:
    problems = list(file.problems)
    if not errors(problems):
        problems += _context_problems(file)
    return sorted(problems, key=lambda problem: problem.line or 0)


def _print(file: CheckedFile, problems: list[Problem], bad: list[Problem]) -> None:
    say_problems(problems)
    if bad:
        click.echo(escape_control(f"{file.name}: invalid: {counted(len(bad), 'problem')}"))
        return
    warnings = len(errors_and_warnings(problems))
    verdict = f"valid, {counted(warnings, 'warning')}" if warnings else "valid"
    for document in file.documents:
        if document.resource is None:
            line = f"{file.name}: {document.kind}: not a kind of Podium, not checked"
        else:
            line = f"{file.name}: {_summary(file, document.resource)}: {verdict}"
        click.echo(escape_control(line))


def _file_entry(file: CheckedFile, *, valid: bool) -> dict[str, Any]:
    objects = []
    for document in file.documents:
        metadata = document.raw.get("metadata")
        resource = document.resource
        name = metadata.get("name") if isinstance(metadata, dict) else None
        objects.append(
            {
                "kind": document.kind,
                "name": resource.metadata.name if resource is not None else name,
                "checked": document.is_seed or _is_ours(document.raw.get("apiVersion")),
            }
        )
    return {"file": file.name, "valid": valid, "objects": objects}


def _is_ours(version: object) -> bool:
    return isinstance(version, str) and version.partition("/")[0] == GROUP


def _problem_entries(problems: list[Problem], source: str | bytes) -> list[dict[str, Any]]:
    """Describe problems for programs; `source` is a file's name, or the text itself."""
    if not problems:
        return []
    from podium.api.source.columns import Columns  # noqa: PLC0415 - only where asked for

    try:
        raw = Path(source).read_bytes() if isinstance(source, str) else source
        text = raw[:MAX_BYTES].decode("utf-8-sig", "replace")
    except OSError:
        text = ""
    columns = Columns(text)
    return [
        {
            "file": problem.file,
            "line": problem.line,
            "column": columns.of(problem),
            "path": format_path(problem.path),
            "severity": problem.severity.value,
            "message": problem.message,
        }
        for problem in problems
    ]


def _context_problems(file: CheckedFile) -> list[Problem]:
    """Check the contexts of runs against what their workflows want, where the file has these."""
    found = []
    for document, run in file.runs:
        spec = file.workflow_of(run)
        if spec is not None:
            dag = file.graph_of(spec)
            plan = Plan.build(file.resolved(spec), workflow_id="", dag=dag)
            context = initial_context(plan, run.spec)
            problems = check_context(plan, context, given=run.spec.context)
            found += [document.located(problem) for problem in problems]
    return found


def _summary(file: CheckedFile, resource: Resource) -> str:
    if isinstance(resource, Workflow):
        return f"Workflow {resource.metadata.name}: {_size(file, resource.spec)}"
    named = Executor | ClusterExecutor | ArtifactStore | ContractSchema | Persona | ModelConfig
    if isinstance(resource, named):
        return f"{resource.kind} {resource.metadata.name}"
    name = resource.metadata.name or f"{resource.metadata.generate_name}…"
    if resource.spec.workflow_spec is not None:
        return f"WorkflowRun {name}: {_size(file, resource.spec.workflow_spec)}"
    assert resource.spec.workflow_ref is not None  # noqa: S101 - for the type checker
    return f"WorkflowRun {name} of the Workflow {resource.spec.workflow_ref.name}"


def _names(workflow: Workflow) -> list[str]:
    return [workflow.metadata.name, *([workflow.spec.id] if workflow.spec.id else [])]


def _size(file: CheckedFile, spec: WorkflowSpec) -> str:
    graph = file.graph_of(spec)
    nodes, edges = len(graph.nodes), len(graph.edges)
    return f"{counted(nodes, 'node')}, {counted(edges, 'edge')}"
