"""Tables of runs and nodes, as kubectl prints them."""

import time
from collections.abc import Iterable

import click

from podium.api.base import format_duration
from podium.api.run import WorkflowRunStatus
from podium.cli.describe import elapsed
from podium.cli.output import escape_control
from podium.cli.session import OpenRun

__all__ = ["RUN_HEADER", "node_rows", "print_table", "run_row"]

RUN_HEADER = ("NAME", "WORKFLOW", "PHASE", "PROGRESS", "CURRENT", "DURATION", "AGE")


def run_row(run: OpenRun) -> tuple[str, ...]:
    """Return the cells of a run, below `RUN_HEADER`."""
    record, status = run.record, run.status
    phase = status.phase.value
    if not status.phase.ended and not run.folder.is_held:
        phase = "Interrupted"
    return (
        record.name,
        record.workflow_id,
        phase,
        status.progress,
        status.current,
        status.duration or "",
        format_duration(max(0.0, time.time() - record.created_at)),
    )


def node_rows(status: WorkflowRunStatus) -> Iterable[tuple[str, ...]]:
    """Return a header and the cells of a run's nodes, in the definition's order."""
    yield "NODE", "STATUS", "REASON", "TRIES", "DURATION"
    now = time.time()
    for node, state in status.nodes.items():
        word = f"{state.status.value} (stale)" if state.stale else state.status.value
        yield node, word, state.reason, str(state.execution_count), elapsed(state, now)


def print_table(rows: Iterable[tuple[str, ...]]) -> None:
    """Print rows of cells in columns."""
    lines = [[escape_control(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in lines) for column in range(len(lines[0]))]
    for row in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("   ".join(cells).rstrip())
