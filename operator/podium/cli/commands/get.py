"""podium get."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from podium.api.run import NodeState
from podium.cli.documents import to_json
from podium.cli.node_details import show_node
from podium.cli.options import document_option, state_dir_option
from podium.cli.output import CliError, ExitCode, warn
from podium.cli.session import OpenRun, document_text, open_run, text_of
from podium.cli.tables import RUN_HEADER, Table, node_row, node_rows, print_asked, run_row
from podium.local.store import StoreError, list_runs

__all__ = ["get"]

POLL_SECONDS = 0.2


@click.command()
@click.argument("name", metavar="[RUN]", required=False)
@click.argument("node", metavar="[NODE]", required=False)
@click.option(
    "-w", "--watch", is_flag=True, help="Print changes as they happen; of a run: until it ends."
)
@document_option
@state_dir_option
def get(
    name: str | None, node: str | None, watch: bool, output: str | None, state_dir: Path
) -> int:
    """List the runs of this machine, or show one with its nodes, or one node.

    DURATION of a node counts its latest execution, from the start of its program to its end or to
    now. Of a run that has ended it counts the time in which nodes could run: suspensions,
    interruptions, and the time between an end and a re-run are left out.
    """
    if watch and (output is not None or node is not None):
        raise CliError("-w prints changes as lines: leave out -o and NODE")
    try:
        if name is not None and node is not None:
            run = open_run(state_dir, name)
            show_node(run.record.name, run.status, node, output)
        elif name is not None:
            _show_run(state_dir, open_run(state_dir, name), output, watch=watch)
        else:
            _show_all(state_dir, output, watch=watch)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _show_all(state_dir: Path, output: str | None, *, watch: bool) -> None:
    names = list_runs(state_dir)
    if output is not None:
        items = [run.document for run in _readable(state_dir, names)]
        document = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}
        click.echo(text_of(document, output), nl=False)
        return
    if not names and not watch:
        warn(f"no runs in {state_dir}")
        return
    rows = {name: _row(state_dir, name) for name in names}
    table = Table([RUN_HEADER, *rows.values()])
    table.print()
    while watch:
        time.sleep(POLL_SECONDS)
        for name in list_runs(state_dir):
            # Neither its age nor its duration is a change.
            row = _row(state_dir, name, tell=False)
            if name not in rows or row[:5] != rows[name][:5]:
                table.add(row)
            rows[name] = row


def _readable(state_dir: Path, names: Iterable[str]) -> Iterator[OpenRun]:
    for name in names:
        try:
            yield open_run(state_dir, name)
        except StoreError as error:
            warn(f"podium: {error}")


def _row(state_dir: Path, name: str, *, tell: bool = True) -> tuple[str, ...]:
    """Return the cells of a run, also of one that cannot be read; what is wrong is a warning."""
    try:
        return run_row(open_run(state_dir, name))
    except StoreError as error:
        if tell:
            warn(f"podium: {error}")
        return name, "", "Unreadable", "", "", "", ""


def _show_run(state_dir: Path, run: OpenRun, output: str | None, *, watch: bool) -> None:
    if output is not None:
        click.echo(document_text(run, output), nl=False)
        return
    Table([RUN_HEADER, run_row(run)]).print()
    click.echo()
    table = Table(node_rows(run.status))
    table.print()
    print_asked(run.status)
    _print_outputs(run)
    shown = dict(run.status.nodes)
    while watch:
        is_held = run.directory.is_held  # looked at before reading: the end is read after it
        run = open_run(state_dir, run.record.name)
        for node, state in run.status.nodes.items():
            if node not in shown or _key(shown[node]) != _key(state):
                table.add(node_row(node, state, time.time()))
        shown = dict(run.status.nodes)
        if not is_held:
            click.echo()
            Table([RUN_HEADER, run_row(run)]).print()
            _print_outputs(run)
            return
        time.sleep(POLL_SECONDS)


def _print_outputs(run: OpenRun) -> None:
    """Print what the run hands over, unbroken, so that a value can be copied."""
    if run.status.outputs:
        click.echo()
        for name, value in run.status.outputs.items():
            click.echo(f"{name} = {to_json(value)}")


def _key(state: NodeState) -> tuple[object, ...]:
    return state.status, state.reason, state.execution_count, state.stale
