"""podium get."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from podium.api.base import format_duration, format_time
from podium.api.run import NodeState
from podium.cli.describe import elapsed
from podium.cli.documents import to_json
from podium.cli.options import document_option, state_dir_option
from podium.cli.output import CliError, ExitCode, escape_control, warn
from podium.cli.session import OpenRun, document_text, open_run, text_of
from podium.cli.tables import RUN_HEADER, Table, node_row, node_rows, run_row, wrapped
from podium.engine.codec import dump_node
from podium.local.store import StoreError, list_runs

__all__ = ["get"]

POLL_SECONDS = 0.2
_LABEL_WIDTH = 12


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
            _show_node(open_run(state_dir, name), node, output)
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


def _show_node(run: OpenRun, node: str, output: str | None) -> None:
    state = run.status.nodes.get(node)
    if state is None:
        known = ", ".join(list(run.status.nodes)[:10])
        raise CliError(f"run {run.record.name} has no node {node!r:.80}: nodes are {known}")
    if output is not None:
        click.echo(text_of({"id": node, **dump_node(state)}, output), nl=False)
        return
    for label, value in _node_lines(node, state):
        start = f"{label + ':':<{_LABEL_WIDTH}}"
        for line in value.rstrip("\n").split("\n"):
            shown = escape_control(line)
            # An output is left as it is: it may be copied.
            for part in [shown] if label == "output" else wrapped(shown, _LABEL_WIDTH):
                click.echo(f"{start}{part}".rstrip())
                start = " " * _LABEL_WIDTH
    if state.history:
        click.echo()
        Table(_execution_rows(state)).print()


def _node_lines(node: str, state: NodeState) -> Iterator[tuple[str, str]]:
    yield "node", node
    _, word, reason, _, _ = node_row(node, state, time.time())
    yield "status", word
    fields = {
        "reason": reason,
        "message": state.message or (state.error.message if state.error is not None else ""),
        "execution": state.execution_id or "",
        "started": _moment(state.started_at),
        "completed": _moment(state.completed_at),
        "duration": elapsed(state, time.time()),
        "next try": _moment(state.next_attempt_at),
        "warnings": "\n".join(state.warnings),
        "output": "" if state.output is None else to_json(state.output),
    }
    for label, value in fields.items():
        if value:
            yield label, value


def _execution_rows(state: NodeState) -> Iterator[tuple[str, ...]]:
    yield "EXECUTION", "STATUS", "REASON", "STARTED", "DURATION"
    for record in state.history:
        took = ""
        if record.started_at is not None and record.completed_at is not None:
            took = format_duration(record.completed_at - record.started_at)
        started = _moment(record.started_at)
        yield record.execution_id, record.status.value, record.reason, started, took


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else format_time(int(seconds))
