"""One node of a run, in lines for people."""

import time
from collections.abc import Iterator

import click

from podium.api.base import format_duration, format_time
from podium.api.names import compensated_path
from podium.api.run import NodeState, WorkflowRunStatus
from podium.cli.describe import elapsed, spent
from podium.cli.documents import to_json
from podium.cli.items import items_text, require_node
from podium.cli.members import members_of
from podium.cli.output import escape_control
from podium.cli.session import text_of
from podium.cli.tables import NODE_HEADER, Table, node_row, wrapped
from podium.engine import context_at, dump_node

__all__ = ["show_node"]

_LABEL_WIDTH = 12


def show_node(run: str, status: WorkflowRunStatus, node: str, output: str | None) -> None:
    """Print a node of a run, or with `output` its state as json or yaml. Raises `CliError`."""
    state = require_node(run, status, node)
    if output is not None:
        click.echo(text_of({"id": node, **dump_node(state)}, output), nl=False)
        return
    for label, value in _node_lines(node, _with_output(status, node, state)):
        start = f"{label + ':':<{_LABEL_WIDTH}}"
        for line in value.rstrip("\n").split("\n"):
            shown = escape_control(line)
            # An output is left as it is: it may be copied.
            for part in [shown] if label == "output" else wrapped(shown, _LABEL_WIDTH):
                click.echo(f"{start}{part}".rstrip())
                start = " " * _LABEL_WIDTH
    if members := members_of(node, status.nodes):
        click.echo()
        now = time.time()
        rows = [node_row(member, status.nodes[member], now) for member in members]
        Table([NODE_HEADER, *rows]).print()
    if state.history:
        click.echo()
        Table(_execution_rows(state)).print()


def _with_output(status: WorkflowRunStatus, node: str, state: NodeState) -> NodeState:
    """Return a node's state with its output: that of a group or a map is stored nowhere."""
    members = (each for each in members_of(node, status.nodes) if compensated_path(each) != node)
    is_made = state.items is not None or any(members)
    if state.output is None or not is_made:
        return state
    outputs = context_at(status, {})["outputs"]
    outer, inner = node, list[str]()
    while outer not in outputs and "." in outer:  # it is part of that of its group
        outer, _, member = outer.rpartition(".")
        inner.insert(0, member)
    output = outputs.get(outer)
    for member in inner:
        output = output.get(member) if isinstance(output, dict) else None
    return state.model_copy(update={"output": output})


def _node_lines(node: str, state: NodeState) -> Iterator[tuple[str, str]]:
    yield "node", node
    _, word, reason, _, _ = node_row(node, state, time.time())
    yield "status", word
    fields = {
        "reason": reason,
        "message": state.message or (state.error.message if state.error is not None else ""),
        "execution": state.execution_id or "",
        "child run": state.child_run or "",
        "copied": _copied(state),
        "started": _moment(state.started_at),
        "completed": _moment(state.completed_at),
        "duration": elapsed(state, time.time()),
        "next try": _moment(state.next_attempt_at),
        "models": spent(state),
        "items": "" if state.items is None else items_text(state.items),
        "failed": f"{node}[{state.items.failed}]" if state.items and state.items.failed else "",
        "warnings": "\n".join(state.warnings),
        "stored": _stored(state),
        "output": "" if state.output is None else to_json(state.output),
    }
    for label, value in fields.items():
        if value:
            yield label, value


def _copied(state: NodeState) -> str:
    """Return where a result was made that was copied from another run."""
    origin = state.copied_from
    if origin is None:
        return ""
    return f"from {origin.execution_id or 'a decision'} of the run {origin.run}"


def _stored(state: NodeState) -> str:
    """Return how large an output is of which the state has only what expressions read."""
    if state.output_ref is None:
        return ""
    return f"{state.output_ref.size:,} bytes of output; what expressions read of it:"


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
