"""Verbs on definition files: validate, convert, graph."""

from pathlib import Path
from typing import Any

import click
import orjson
import yaml

from podium.api.files import Document, File, read_file
from podium.api.problems import InvalidError, Problem, Severity, errors
from podium.api.resources import Workflow, WorkflowRun
from podium.api.run import NodeState
from podium.api.workflow import WorkflowSpec
from podium.cli import graphs
from podium.cli.output import CliError, ExitCode, plain, say_problems
from podium.dag import WorkflowDAG
from podium.local.store import RunFolder

__all__ = ["choose_workflow", "convert", "graph", "graph_problems", "sound_file", "validate"]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
def validate(files: tuple[str, ...], *, strict: bool) -> None:
    """Check definition files, - for standard input: all problems, each with its line."""
    sound = True
    for name in files:
        file = read_file(name)
        problems = [*file.problems, *graph_problems(file)]
        problems.sort(key=lambda problem: problem.line or 0)
        say_problems(problems)
        bad = [p for p in problems if strict or p.severity is Severity.ERROR]
        sound = sound and not bad
        if bad:
            click.echo(plain(f"{file.name}: invalid: {_count(len(bad), 'problem')}"))
        else:
            for document in file.documents:
                click.echo(plain(f"{file.name}: {_summary(document)}: valid"))
    if not sound:
        raise click.exceptions.Exit(ExitCode.USAGE)


def _summary(document: Document) -> str:
    match document.resource:
        case Workflow() as workflow:
            return f"Workflow {workflow.metadata.name}: {_size(workflow.spec)}"
        case WorkflowRun() as run:
            name = run.metadata.name or f"{run.metadata.generate_name}…"
            reference = run.spec.workflow_ref
            if reference is not None:
                return f"WorkflowRun {name} of the Workflow {reference.name}"
            assert run.spec.workflow_spec is not None  # noqa: S101 - for the type checker
            return f"WorkflowRun {name}: {_size(run.spec.workflow_spec)}"
        case _:
            return f"{document.kind}, which is not checked"


def _size(spec: WorkflowSpec) -> str:
    nodes, edges = len(spec.nodes), len(WorkflowDAG(spec).edges)
    return f"{_count(nodes, 'node')}, {_count(edges, 'edge')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def graph_problems(file: File) -> list[Problem]:
    """Return what is wrong with the graphs of a file, errors and warnings."""
    found = []
    for document, workflow in file.workflows:
        problems = WorkflowDAG(workflow.spec).problems()
        found += [document.located(problem) for problem in problems]
    for document, run in file.runs:
        if run.spec.workflow_spec is not None:
            problems = WorkflowDAG(run.spec.workflow_spec).problems(("spec", "workflowSpec"))
            found += [document.located(problem) for problem in problems]
    return found


def sound_file(name: str) -> File:
    """Read a file. Raises `InvalidError` with all its problems, those of its graphs too."""
    file = read_file(name)
    problems = [*file.problems, *graph_problems(file)]
    if errors(problems):
        raise InvalidError(sorted(problems, key=lambda problem: problem.line or 0))
    return file


def choose_workflow(file: File, name: str | None) -> tuple[Document, Workflow]:
    """Return the file's one Workflow, or the one that is named. Raises `CliError`."""
    there = file.workflows
    if name is not None:
        there = [
            (document, workflow)
            for document, workflow in there
            if name in (workflow.metadata.name, workflow.spec.id)
        ]
    if len(there) == 1:
        return there[0]
    known = ", ".join(workflow.metadata.name for _, workflow in file.workflows) or "none"
    if name is not None:
        raise CliError(f"{file.name} has no Workflow {name!r}; it has {known}")
    if there:
        raise CliError(f"{file.name} has several Workflows: choose with --name, one of {known}")
    raise CliError(f"{file.name} holds no Workflow")


@click.command()
@click.argument("file")
@click.option("--name", help="Which Workflow, where the file has several.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml")
def convert(file: str, name: str | None, output: str) -> None:
    """Print a definition, in the seed's format too, as a Workflow resource."""
    _, workflow = choose_workflow(sound_file(file), name)
    document = workflow.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if output == "json":
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(to_yaml(document), nl=False)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and repeats no value by alias."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(document: Any) -> str:
    """Write JSON as YAML, in its own order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


@click.command()
@click.argument("file_or_run")
@click.option("-o", "--output", type=click.Choice(["ascii", "mermaid", "dot"]), default="ascii")
@click.option("--name", help="Which Workflow, where the file has several.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".podium"),
    show_default=True,
    help="Where runs are kept.",
)
def graph(file_or_run: str, output: str, name: str | None, state_dir: Path) -> None:
    """Draw the graph of a file, or of a run on this machine with the states of its nodes."""
    states: dict[str, NodeState] = {}
    folder = RunFolder(state_dir, file_or_run)
    if not Path(file_or_run).exists() and file_or_run != "-" and folder.exists:
        record, status = folder.load()
        spec, states = record.workflow, status.nodes
    else:
        spec = _spec_of(sound_file(file_or_run), name)
    draw = {"ascii": graphs.ascii_levels, "mermaid": graphs.mermaid, "dot": graphs.dot}[output]
    click.echo("\n".join(draw(WorkflowDAG(spec), states)))


def _spec_of(file: File, name: str | None) -> WorkflowSpec:
    """Return the graph of a file: its Workflow's, else its one inline run's."""
    inline = [run.spec.workflow_spec for _, run in file.runs if run.spec.workflow_spec is not None]
    if not file.workflows and len(inline) == 1 and name is None:
        return inline[0]
    return choose_workflow(file, name)[1].spec
