"""The table that follows a run on a terminal."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from podium.api.base import format_duration
from podium.api.run import NodeState, NodeStatus, WorkflowRunStatus
from podium.cli.describe import RUN_EVENTS, elapsed, reason_text
from podium.cli.items import is_item, items_text, nodes_in_order
from podium.cli.members import needed
from podium.cli.output import escape_control
from podium.engine import Changes, Emit, EventType

__all__ = ["Screen", "console_on"]

TICK_SECONDS = 0.25
_STYLES = {
    NodeStatus.RUNNING: "cyan",
    NodeStatus.COMPLETED: "green",
    NodeStatus.FAILED: "bold red",
    NodeStatus.CANCELLED: "yellow",
    NodeStatus.READY: "magenta",
}


def console_on(stream: TextIO) -> Console:
    """Return the terminal that a stream is."""
    return Console(file=stream, highlight=False)


class Screen:
    """A table that follows the run: a node a line, as many as the terminal has room for."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_paused = False
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def begin(self, status: WorkflowRunStatus) -> None:
        """Draw the run as it stands."""
        self._status = status
        self._began_at = time.time()
        self._ended_at: float | None = None
        self._live.start()
        self._draw()

    def update(self, events: Iterable[Emit], changes: Changes) -> None:
        """Print what the table does not show; the table itself follows with the next tick."""
        del changes
        for event in events:
            if event.reason in RUN_EVENTS and event.type is EventType.WARNING:
                self._live.console.print(Text(escape_control(f"{event.reason}: {event.message}")))

    async def tick(self) -> None:
        """Draw now and then, until cancelled."""
        while True:
            self._draw()
            await asyncio.sleep(TICK_SECONDS)

    def pause(self) -> None:
        """Leave what is drawn where it is, and the terminal to a question."""
        self._draw()
        self._is_paused = True
        self._live.stop()

    def go_on(self) -> None:
        """Draw again, below."""
        self._is_paused = False
        self._live.start()
        self._draw()

    def close(self) -> None:
        """Draw the end, and leave it there."""
        if self._is_paused:
            self.go_on()
        self._draw()
        self._live.stop()

    def _draw(self) -> None:
        if self._is_paused:
            return
        with suppress(OSError):  # the terminal is gone; the run goes on
            self._live.update(self._render(time.time()), refresh=True)

    def _render(self, now: float) -> Group:
        nodes = needed(self._status.nodes)
        chosen = _interesting(nodes, max(5, self._console.height - 4))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=False)
        rows = [(node, nodes[node].status, elapsed(nodes[node], now)) for node in chosen]
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
            reason = Text(_told(nodes[node]))
            reason.truncate(room, overflow="ellipsis")
            words = Text(state.value, style=_STYLES.get(state, "dim"))
            table.add_row(Text(node), words, Text(time_taken), reason)
        return Group(table, Text(self._sum(now), style="bold"))

    def _sum(self, now: float) -> str:
        status = self._status
        nodes = needed(status.nodes)
        counts = Counter(state.status for node, state in nodes.items() if not is_item(node))
        ended = sum(number for state, number in counts.items() if state.ended)
        parts = [f"{ended}/{counts.total()}"]
        parts += [f"{counts[state]} {state.value}" for state in NodeStatus if counts[state]]
        if self._ended_at is None and status.phase.ended:
            self._ended_at = now
        # Since this podium took up the run: it may have waited for that for days.
        parts.append(format_duration((self._ended_at or now) - self._began_at))
        return "  ".join(parts)


def _interesting(nodes: Mapping[str, NodeState], room: int) -> list[str]:
    """Return the nodes to show, in the definition's order: all, or where something happens."""
    nodes = dict(nodes_in_order(nodes))
    if len(nodes) <= room:
        return list(nodes)
    urgency = {NodeStatus.FAILED: 0, NodeStatus.RUNNING: 1, NodeStatus.READY: 2}

    def rank(node: str) -> tuple[int, float]:
        state = nodes[node]
        return urgency.get(state.status, 3), -(state.completed_at or 0.0)

    chosen = set(sorted(nodes, key=rank)[:room])
    return [node for node in nodes if node in chosen]


def _told(state: NodeState) -> str:
    """Return a node's reason and message, and of a map how its items stand."""
    words = reason_text(state)
    if state.items is None or not state.items.digest or state.status is NodeStatus.FAILED:
        return words
    return f"{items_text(state.items)}  {words}".rstrip()
