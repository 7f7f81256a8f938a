"""Verbs on definition files: convert, graph."""

from pathlib import Path

import click

from podium.api.resources import Workflow
from podium.api.run import NodeState
from podium.api.source.files import Document, File
from podium.api.workflow import WorkflowSpec
from podium.cli import graphs
from podium.cli.checked_file import sound_file
from podium.cli.documents import to_json, to_yaml
from podium.cli.options import executor_files_option, resolve_latest, state_dir_option
from podium.cli.output import CliError
from podium.cli.tables import columns
from podium.dag import WorkflowDAG
from podium.local.store import RunDirectory

__all__ = [
    "choose_workflow",
    "convert",
    "graph",
]


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
@executor_files_option
@click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True
)
def convert(file: str, name: str | None, more: tuple[str, ...], output: str) -> None:
    """Print a definition as a Workflow resource.

    The format with workflow: at the top and snake_case fields is read, too.
    """
    _, workflow = choose_workflow(sound_file(file, more), name)
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
@executor_files_option
@state_dir_option
def graph(
    file_or_run: str, output: str, name: str | None, more: tuple[str, ...], state_dir: Path
) -> None:
    """Draw the graph of a file, or of a run on this machine with the states of its nodes.

    A line shows a node and what comes before it; nodes with the same number can
    run in parallel.
    """
    states: dict[str, NodeState] = {}
    file_or_run = resolve_latest(file_or_run, state_dir)
    directory = RunDirectory(state_dir, file_or_run)
    path = Path(file_or_run)
    if file_or_run != "-" and directory.exists and (path.is_dir() or not path.exists()):
        record, status = directory.load()
        dag, states = WorkflowDAG(record.workflow), status.nodes
    elif file_or_run == "-" or path.exists():
        file = sound_file(file_or_run, more)
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
