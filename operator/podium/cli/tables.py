"""Tables of runs and nodes, as kubectl prints them."""

import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

import click

from podium.api.base import format_duration
from podium.api.run import NodeState, WorkflowRunStatus
from podium.cli.describe import asked_text, counted, elapsed
from podium.cli.documents import to_json
from podium.cli.items import items_text, nodes_in_order
from podium.cli.members import folded, groups_of, needed
from podium.cli.output import escape_control

__all__ = [
    "NODE_HEADER",
    "RUN_HEADER",
    "WIDE",
    "ShownRun",
    "Table",
    "columns",
    "header_of",
    "node_row",
    "node_rows",
    "print_asked",
    "print_outputs",
    "run_row",
    "wrapped",
]

RUN_HEADER = ("NAME", "WORKFLOW", "PHASE", "PROGRESS", "CURRENT", "DURATION", "AGE")
WIDE = ("REASON",)
NODE_HEADER = ("NODE", "STATUS", "REASON", "TRIES", "DURATION")
_ELASTIC = frozenset({"NAME", "WORKFLOW", "CURRENT", "NODE", "REASON", "TITLE"})
"""Columns that give way where the terminal is narrow."""
_NARROWEST = 8


class ShownRun(Protocol):
    """A run, wherever it is kept."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def workflow_id(self) -> str:
        """Its workflow."""

    @property
    def phase(self) -> str:
        """Its phase."""

    @property
    def status(self) -> WorkflowRunStatus:
        """What happened."""

    @property
    def created_at(self) -> float:
        """When it was created, in seconds since 1970."""


def header_of(*, wide: bool) -> tuple[str, ...]:
    """Return the columns of runs, or more of them."""
    return (*RUN_HEADER, *WIDE) if wide else RUN_HEADER


def run_row(run: ShownRun, *, wide: bool = False) -> tuple[str, ...]:
    """Return the cells of a run, below `header_of`."""
    status = run.status
    return (
        run.name,
        run.workflow_id,
        run.phase,
        status.progress,
        status.current,
        status.duration or "",
        format_duration(max(0.0, time.time() - run.created_at)),
        *((status.reason,) if wide else ()),
    )


def node_rows(status: WorkflowRunStatus) -> Iterable[tuple[str, ...]]:
    """Return a header and the cells of a run's nodes, in the definition's order.

    A group that has ended well is one line, which counts its members.
    """
    yield NODE_HEADER
    now = time.time()
    closed = folded(status.nodes)
    for node, state in nodes_in_order(needed(status.nodes)):
        if any(group in closed for group in groups_of(node)):
            continue
        name, word, reason, tries, took = node_row(node, state, now)
        if node in closed and not reason:
            reason = f"({counted(closed[node], 'member')})"
        if state.items is not None and state.items.digest:
            reason = f"{reason} ({items_text(state.items)})".lstrip()
        yield name, word, reason, tries, took


def node_row(node: str, state: NodeState, now: float) -> tuple[str, ...]:
    """Return the cells of a node, below `NODE_HEADER`."""
    more = " (stale)" if state.stale else " (copied)" if state.copied_from is not None else ""
    word = f"{state.status.value}{more}"
    return node, word, state.reason, str(state.execution_count), elapsed(state, now)


def print_asked(status: WorkflowRunStatus) -> None:
    """Print what waits for a person, below the nodes."""
    for number, line in enumerate(asked_text(status)):
        if number == 0:
            click.echo()
        click.echo(line)


def print_outputs(status: WorkflowRunStatus) -> None:
    """Print what a run hands over, unbroken, so that a value can be copied."""
    if status.outputs:
        click.echo()
        for name, value in status.outputs.items():
            click.echo(f"{name} = {to_json(value)}")


class Table:
    """Rows in columns whose width is that of what they began with."""

    def __init__(self, rows: Iterable[Sequence[str]]) -> None:
        self._lines = [[escape_control(cell) for cell in row] for row in rows]
        heads = self._lines[0]
        wide = [max(len(row[column]) for row in self._lines) for column in range(len(heads))]
        # As wide as the terminal, if it is one: whoever reads by a pipe wants names whole.
        room = columns()
        gap = "   " if room is None or sum(wide) + 3 * (len(wide) - 1) <= room else "  "
        excess = 0 if room is None else sum(wide) + len(gap) * (len(wide) - 1) - room
        elastic = [i for i, head in enumerate(heads) if head in _ELASTIC]
        while excess > 0 and elastic:
            widest = max(elastic, key=lambda column: wide[column])
            if wide[widest] <= max(_NARROWEST, len(heads[widest])):
                break
            wide[widest] -= 1
            excess -= 1
        self._widths, self._gap = wide, gap
        self._cut = {i for i in elastic if room is not None}

    def print(self) -> None:
        """Print it."""
        for line in self._lines:
            self._print(line)

    def add(self, row: Sequence[str]) -> None:
        """Print one more row."""
        self._print([escape_control(cell) for cell in row])

    def _print(self, line: list[str]) -> None:
        cells = []
        for column, (cell, width) in enumerate(zip(line, self._widths, strict=True)):
            cut = column in self._cut and len(cell) > width
            cells.append(f"{cell[: width - 1] + '…' if cut else cell:<{width}}")
        click.echo(self._gap.join(cells).rstrip())


def wrapped(line: str, margin: int) -> list[str]:
    """Break a line that is too long for the terminal beside a margin; its indentation is kept."""
    room = columns()
    if room is None or margin + len(line) <= room:
        return [line]
    import textwrap  # noqa: PLC0415 - few lines are that long

    width = max(_NARROWEST, room - margin)
    indent = line[: len(line) - len(line.lstrip())][: width // 2]
    return textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False) or [""]


def columns() -> int | None:
    """Return the width of the terminal; None where the output goes elsewhere."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return None
    return shutil.get_terminal_size().columns
