"""podium get, list, watch and wait."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from podium.api.base import format_duration
from podium.api.run import NodeState
from podium.cli.child_runs import print_child_runs
from podium.cli.durations import DURATION
from podium.cli.items import nodes_in_order
from podium.cli.members import is_unneeded
from podium.cli.node_details import show_node
from podium.cli.options import optional_run_argument, run_argument, state_dir_option
from podium.cli.output import CliError, ExitCode, warn
from podium.cli.run_end import run_code
from podium.cli.session import INTERRUPTED, OpenRun, document_text, open_run, text_of
from podium.cli.tables import (
    Table,
    header_of,
    node_row,
    node_rows,
    print_asked,
    print_outputs,
    run_row,
)
from podium.local.store import StoreError, list_runs

__all__ = ["get", "wait", "watch"]

POLL_SECONDS = 0.2


@click.command()
@optional_run_argument
@click.argument("node", metavar="[NODE]", required=False)
@click.option(
    "-w", "--watch", is_flag=True, help="Print changes as they happen; of a run: until it ends."
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["json", "yaml", "wide", "name"]),
    help="Print whole resources, more columns, or only names.",
)
@state_dir_option
def get(
    name: str | None, node: str | None, watch: bool, output: str | None, state_dir: Path
) -> int:
    """List the runs of this machine, or show one with its nodes, or one node.

    DURATION of a node counts its latest execution, from the start of its program to its end or to
    now. Of a run that has ended it counts the time in which nodes could run: suspensions,
    interruptions, and the time between an end and a re-run are left out.

    @latest is the newest run.
    """
    if watch and (output not in (None, "wide") or node is not None):
        raise CliError("-w prints changes as lines: leave out -o and NODE")
    try:
        if name is not None and node is not None:
            run = open_run(state_dir, name)
            show_node(
                run.record.name, run.status, node, output if output in ("json", "yaml") else None
            )
        elif name is not None:
            _show_run(state_dir, open_run(state_dir, name), output, watch=watch)
        else:
            _show_all(state_dir, output, watch=watch)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _show_all(state_dir: Path, output: str | None, *, watch: bool) -> None:
    names = list_runs(state_dir)
    if output == "name":
        for name in names:
            click.echo(f"workflowrun.podium.dev/{name}")
        return
    if output in ("json", "yaml"):
        items = [run.document for run in _readable(state_dir, names)]
        document = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}
        click.echo(text_of(document, output), nl=False)
        return
    if not names and not watch:
        warn(f"no runs in {state_dir}")
        return
    wide = output == "wide"
    rows = {name: _row(state_dir, name, wide=wide) for name in names}
    table = Table([header_of(wide=wide), *rows.values()])
    table.print()
    while watch:
        time.sleep(POLL_SECONDS)
        for name in list_runs(state_dir):
            # Neither its age nor its duration is a change.
            row = _row(state_dir, name, tell=False, wide=wide)
            if name not in rows or row[:5] != rows[name][:5]:
                table.add(row)
            rows[name] = row


def _readable(state_dir: Path, names: Iterable[str]) -> Iterator[OpenRun]:
    for name in names:
        try:
            yield open_run(state_dir, name)
        except StoreError as error:
            warn(f"podium: {error}")


def _row(state_dir: Path, name: str, *, tell: bool = True, wide: bool = False) -> tuple[str, ...]:
    """Return the cells of a run, also of one that cannot be read; what is wrong is a warning."""
    try:
        return run_row(open_run(state_dir, name), wide=wide)
    except StoreError as error:
        if tell:
            warn(f"podium: {error}")
        return name, "", "Unreadable", "", "", "", "", *([""] if wide else [])


def _show_run(state_dir: Path, run: OpenRun, output: str | None, *, watch: bool) -> None:
    if output in ("json", "yaml"):
        click.echo(document_text(run, output), nl=False)
        return
    if output == "name":
        click.echo(f"workflowrun.podium.dev/{run.name}")
        return
    wide = output == "wide"
    Table([header_of(wide=wide), run_row(run, wide=wide)]).print()
    click.echo()
    table = Table(node_rows(run.status))
    table.print()
    print_child_runs(run.status)
    print_asked(run.status)
    print_outputs(run.status)
    shown = dict(run.status.nodes)
    while watch:
        is_held = run.directory.is_held  # looked at before reading: the end is read after it
        run = open_run(state_dir, run.record.name)
        for node, state in nodes_in_order(run.status.nodes):
            if is_unneeded(state):
                continue
            if node not in shown or _key(shown[node]) != _key(state):
                table.add(node_row(node, state, time.time()))
        shown = dict(run.status.nodes)
        if not is_held:
            click.echo()
            Table([header_of(wide=wide), run_row(run, wide=wide)]).print()
            print_outputs(run.status)
            return
        time.sleep(POLL_SECONDS)


def _key(state: NodeState) -> tuple[object, ...]:
    return state.status, state.reason, state.execution_count, state.stale


@click.command()
@run_argument
@state_dir_option
def watch(name: str, state_dir: Path) -> int:
    """Show a run and its changes until it has ended."""
    try:
        _show_run(state_dir, open_run(state_dir, name), None, watch=True)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.OK


@click.command()
@run_argument
@click.option("--timeout", type=DURATION, help="Give up after this long, such as 90s, 5m or 1h.")
@state_dir_option
def wait(name: str, timeout: float | None, state_dir: Path) -> int:
    """Wait until a run has ended; the exit code is the run's, or 3 if it takes too long."""
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while True:
            run = open_run(state_dir, name)
            if run.status.phase.ended:
                click.echo(f"run {name} has ended: {run.phase}")
                return run_code(run.status)
            if run.phase == INTERRUPTED:
                raise CliError(
                    f"run {name} is interrupted: resume it, podium resume {name}", ExitCode.FAILED
                )
            if deadline is not None and time.monotonic() >= deadline:
                raise CliError(
                    f"run {name} has not ended within {format_duration(timeout or 0)}",
                    ExitCode.TIMEOUT,
                )
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
