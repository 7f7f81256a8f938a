"""How a run is watched: a table that changes on a terminal, lines everywhere else."""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from podium.api.base import format_duration
from podium.api.run import NodeState, NodeStatus, WorkflowRunStatus
from podium.cli.output import plain
from podium.engine.engine import Changes
from podium.engine.model import Emit, EventType

__all__ = ["View", "stream_for", "took", "view_on"]

TICK_SECONDS = 0.25
_STYLES = {
    NodeStatus.RUNNING: "cyan",
    NodeStatus.COMPLETED: "green",
    NodeStatus.FAILED: "bold red",
    NodeStatus.CANCELLED: "yellow",
    NodeStatus.READY: "magenta",
}
_TOLD = (
    NodeStatus.RUNNING,
    NodeStatus.COMPLETED,
    NodeStatus.FAILED,
    NodeStatus.SKIPPED,
    NodeStatus.CANCELLED,
)
_RUN_EVENTS = ("Rerun", "RerunRefused", "Restored", "RestoreRefused", "RunPaused")


class View(Protocol):
    """Shows a run while it goes on."""

    def begin(self, status: WorkflowRunStatus) -> None:
        """Start to show a run, as it stands."""
        ...

    def update(self, events: Iterable[Emit], changes: Changes) -> None:
        """Show what changed."""
        ...

    async def tick(self) -> None:
        """Show time passing, until cancelled."""
        ...

    def close(self) -> None:
        """Show the end."""
        ...


def view_on(stream: TextIO) -> View:
    """Return the view for a stream: a table on a terminal, else lines."""
    console = Console(file=stream, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return _Screen(console)
    return _Lines(stream)


def took(state: NodeState, now: float) -> str:
    """Return how long a node's latest execution took, or takes so far; empty: it never began."""
    if state.duration_seconds is not None:
        return format_duration(state.duration_seconds)
    if state.status is NodeStatus.RUNNING and state.started_at is not None:
        return format_duration(max(0.0, now - state.started_at))
    return ""


def _why(state: NodeState) -> str:
    words = f"{state.reason}: {state.message}" if state.message else state.reason
    return plain(" ".join(words.split()))


class _Lines:
    """A line for each change: for pipes and files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: dict[str, tuple[str, ...]] = {}
        self._width = 0

    def begin(self, status: WorkflowRunStatus) -> None:
        self._status = status
        self._places = {node: place for place, node in enumerate(status.nodes)}
        self._width = min(30, max((len(node) for node in status.nodes), default=0))
        for node, state in status.nodes.items():
            self._told[node] = self._key(state)

    def update(self, events: Iterable[Emit], changes: Changes) -> None:
        for event in events:
            if event.reason in _RUN_EVENTS:
                self._say(event.reason, event.message)
            elif event.node is not None and event.reason in ("NodeRetrying", "NodeDisrupted"):
                self._say(event.node, event.reason.removeprefix("Node"), event.message)
                self._told.pop(event.node, None)  # when it runs again, that is news
        # Ends first: what they let start comes after. Else in the definition's order.
        for node in sorted(changes.nodes, key=self._rank):
            state = self._status.nodes.get(node)
            if state is None:  # a newer definition no longer has it
                continue
            key = self._key(state)
            again = state.status is NodeStatus.RUNNING and state.next_attempt_at is not None
            if again:  # disrupted, and not started anew yet
                continue
            if self._told.get(node) != key and state.status in _TOLD:
                ended = took(state, 0.0) if state.status.ended else ""
                self._say(node, state.status.value, ended, _why(state))
            self._told[node] = key

    async def tick(self) -> None:
        return

    def close(self) -> None:
        return

    def _rank(self, node: str) -> tuple[bool, int]:
        state = self._status.nodes.get(node)
        return state is not None and not state.status.ended, self._places.get(node, 0)

    def _key(self, state: NodeState) -> tuple[str, ...]:
        return state.status.value, state.execution_id or ""

    def _say(self, subject: str, *words: str) -> None:
        clock = time.strftime("%H:%M:%S")
        rest = "  ".join(plain(word) for word in words if word)
        try:
            print(
                f"{clock}  {plain(subject):<{self._width}}  {rest}", file=self._stream, flush=True
            )
        except BrokenPipeError:
            # The reader has left; the run goes on.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


class _Screen:
    """A table that follows the run: a node a line, as many as the terminal has room for."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def begin(self, status: WorkflowRunStatus) -> None:
        self._status = status
        self._live.start()
        self._draw()

    def update(self, events: Iterable[Emit], changes: Changes) -> None:
        del changes
        for event in events:
            if event.reason in _RUN_EVENTS and event.type is EventType.WARNING:
                self._live.console.print(Text(plain(f"{event.reason}: {event.message}")))

    async def tick(self) -> None:
        while True:
            self._draw()
            await asyncio.sleep(TICK_SECONDS)

    def close(self) -> None:
        self._draw()
        self._live.stop()

    def _draw(self) -> None:
        with suppress(BrokenPipeError):
            self._live.update(self._render(time.time()), refresh=True)

    def _render(self, now: float) -> Group:
        nodes = self._status.nodes
        shown = _interesting(self._status, max(5, self._console.height - 4))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=False)
        rows = [(node, nodes[node].status, took(nodes[node], now)) for node in shown]
        # Only the last column gives way where the terminal is narrow.
        wide = [
            min(40, max((len(row[0]) for row in rows), default=1)),
            max((len(row[1].value) for row in rows), default=1),
            max((len(row[2]) for row in rows), default=1),
        ]
        room = max(8, self._console.width - sum(wide) - 2 * len(wide) - 1)
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=40, min_width=wide[0])
        table.add_column(no_wrap=True, min_width=wide[1])
        table.add_column(no_wrap=True, justify="right", min_width=wide[2])
        table.add_column(no_wrap=True, overflow="ellipsis")
        for node, state, time_taken in rows:
            why = Text(_why(nodes[node]))
            why.truncate(room, overflow="ellipsis")
            words = Text(state.value, style=_STYLES.get(state, "dim"))
            table.add_row(Text(node), words, Text(time_taken), why)
        return Group(table, Text(self._sum(now), style="bold"))

    def _sum(self, now: float) -> str:
        status = self._status
        counts = Counter(state.status for state in status.nodes.values())
        ended = sum(number for state, number in counts.items() if state.ended)
        parts = [f"{ended}/{len(status.nodes)}"]
        parts += [f"{counts[state]} {state.value}" for state in NodeStatus if counts[state]]
        if status.started_at is not None:
            parts.append(
                format_duration(max(0.0, (status.completed_at or now) - status.started_at))
            )
        return "  ".join(parts)


def _interesting(status: WorkflowRunStatus, room: int) -> list[str]:
    """Return the nodes to show, in the definition's order: all, or where something happens."""
    nodes = status.nodes
    if len(nodes) <= room:
        return list(nodes)
    urgency = {NodeStatus.FAILED: 0, NodeStatus.RUNNING: 1, NodeStatus.READY: 2}

    def rank(node: str) -> tuple[int, float]:
        state = nodes[node]
        return urgency.get(state.status, 3), -(state.completed_at or 0.0)

    chosen = set(sorted(nodes, key=rank)[:room])
    return [node for node in nodes if node in chosen]


def stream_for(output: str | None) -> TextIO:
    """Return where progress goes: standard output belongs to a document that is asked for."""
    return sys.stderr if output else sys.stdout
