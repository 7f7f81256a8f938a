"""Verbs on definition files: validate, convert, graph."""

from pathlib import Path

import click

from podium.api.problems import Problem, errors
from podium.api.resources import Workflow
from podium.api.run import NodeState
from podium.api.source.files import Document, File, Resource, read_file
from podium.api.workflow import WorkflowSpec
from podium.cli import graphs
from podium.cli.checked_file import CheckedFile, check_file, sound_file
from podium.cli.documents import to_json, to_yaml
from podium.cli.options import state_dir_option
from podium.cli.output import CliError, ExitCode, escape_control, say_problems
from podium.cli.tables import columns
from podium.dag import WorkflowDAG
from podium.engine import Plan, check_context, initial_context
from podium.local.store import RunFolder

__all__ = [
    "choose_workflow",
    "convert",
    "graph",
    "validate",
]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
def validate(files: tuple[str, ...], *, strict: bool) -> None:
    """Check definition files, - for standard input: all problems, each with its line."""
    sound = True
    read = [read_file(name) for name in files]
    known = {name for file in read for _, each in file.workflows for name in _names(each)}
    for file in [check_file(each, known) for each in read]:
        problems = list(file.problems)
        if not errors(problems):
            problems += _context_problems(file)
        problems.sort(key=lambda problem: problem.line or 0)
        say_problems(problems)
        bad = problems if strict else errors(problems)
        sound = sound and not bad
        if bad:
            click.echo(escape_control(f"{file.name}: invalid: {_count(len(bad), 'problem')}"))
            continue
        verdict = f"valid, {_count(len(problems), 'warning')}" if problems else "valid"
        for document in file.documents:
            if document.resource is None:
                click.echo(
                    escape_control(
                        f"{file.name}: {document.kind}: not a kind of Podium, not checked"
                    )
                )
            else:
                click.echo(
                    escape_control(f"{file.name}: {_summary(file, document.resource)}: {verdict}")
                )
    if not sound:
        raise click.exceptions.Exit(ExitCode.USAGE)


def _context_problems(file: CheckedFile) -> list[Problem]:
    """Check the contexts of runs against what their workflows want, where the file has these."""
    found = []
    for document, run in file.runs:
        spec = file.workflow_of(run)
        if spec is not None:
            plan = Plan.build(spec, workflow_id="", dag=file.graph_of(spec))
            context = initial_context(plan, run.spec)
            problems = check_context(plan, context, given=run.spec.context)
            found += [document.located(problem) for problem in problems]
    return found


def _summary(file: CheckedFile, resource: Resource) -> str:
    if isinstance(resource, Workflow):
        return f"Workflow {resource.metadata.name}: {_size(file, resource.spec)}"
    name = resource.metadata.name or f"{resource.metadata.generate_name}…"
    if resource.spec.workflow_spec is not None:
        return f"WorkflowRun {name}: {_size(file, resource.spec.workflow_spec)}"
    assert resource.spec.workflow_ref is not None  # noqa: S101 - for the type checker
    return f"WorkflowRun {name} of the Workflow {resource.spec.workflow_ref.name}"


def _names(workflow: Workflow) -> list[str]:
    return [workflow.metadata.name, *([workflow.spec.id] if workflow.spec.id else [])]


def _size(file: CheckedFile, spec: WorkflowSpec) -> str:
    nodes, edges = len(spec.nodes), len(file.graph_of(spec).edges)
    return f"{_count(nodes, 'node')}, {_count(edges, 'edge')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


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


_name = click.option("--name", metavar="WORKFLOW", help="The Workflow, if the file has several.")


@click.command()
@click.argument("file")
@_name
@click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True
)
def convert(file: str, name: str | None, output: str) -> None:
    """Print a definition, in the seed's format too, as a Workflow resource."""
    _, workflow = choose_workflow(sound_file(file), name)
    document = workflow.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if output == "json":
        click.echo(to_json(document))
    else:
        click.echo(to_yaml(document), nl=False)


@click.command()
@click.argument("file_or_run")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["ascii", "mermaid", "dot"]),
    default="ascii",
    show_default=True,
    help="For the terminal, for Markdown pages, for Graphviz.",
)
@_name
@state_dir_option
def graph(file_or_run: str, output: str, name: str | None, state_dir: Path) -> None:
    """Draw the graph of a file, or of a run on this machine with the states of its nodes.

    A line shows a node and what comes before it; nodes of one number can run side by side.
    """
    states: dict[str, NodeState] = {}
    folder = RunFolder(state_dir, file_or_run)
    path = Path(file_or_run)
    if file_or_run != "-" and folder.exists and (path.is_dir() or not path.exists()):
        record, status = folder.load()
        dag, states = WorkflowDAG(record.workflow), status.nodes
    elif file_or_run == "-" or path.exists():
        file = sound_file(file_or_run)
        dag = file.graph_of(_spec_of(file, name))
    else:
        raise CliError(f"{file_or_run}: is neither a file nor a run in {state_dir}")
    match output:
        case "mermaid":
            lines = graphs.mermaid(dag, states)
        case "dot":
            lines = graphs.dot(dag, states)
        case _:
            lines = graphs.ascii_levels(dag, states, columns())
    click.echo("\n".join(lines))


def _spec_of(file: File, name: str | None) -> WorkflowSpec:
    """Return the graph of a file: its Workflow's, else its one inline run's."""
    inline = [run.spec.workflow_spec for _, run in file.runs if run.spec.workflow_spec is not None]
    if not file.workflows and len(inline) == 1 and name is None:
        return inline[0]
    return choose_workflow(file, name)[1].spec
