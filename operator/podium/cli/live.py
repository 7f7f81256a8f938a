"""How a run is watched: a table that changes on a terminal, lines everywhere else."""

import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol, TextIO

from podium.api.names import split_item
from podium.api.reasons import EventReason
from podium.api.run import NodeState, NodeStatus, WorkflowRunStatus
from podium.cli.describe import CONCLUDING_EVENTS, RUN_EVENTS, elapsed, reason_text
from podium.cli.items import is_item
from podium.cli.members import is_unneeded
from podium.cli.output import escape_control
from podium.engine import Changes, Emit

__all__ = ["View", "stream_for", "view_on"]

_NODE_EVENTS = (EventReason.NODE_RETRYING, EventReason.NODE_DISRUPTED)
_ANNOUNCED = (
    NodeStatus.RUNNING,
    NodeStatus.COMPLETED,
    NodeStatus.FAILED,
    NodeStatus.SKIPPED,
    NodeStatus.CANCELLED,
)


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

    def pause(self) -> None:
        """Leave the terminal to a question, until `go_on`."""
        ...

    def go_on(self) -> None:
        """Show the run again."""
        ...

    def close(self) -> None:
        """Show the end."""
        ...


def view_on(stream: TextIO) -> View:
    """Return the view for a stream: a table on a terminal, else lines."""
    if not stream.isatty():
        return _Lines(stream)
    from podium.cli.screen import Screen, console_on  # noqa: PLC0415 - slow to load

    console = console_on(stream)
    return _Lines(stream) if console.is_dumb_terminal else Screen(console)


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
        concluding = []
        for event in events:
            if event.reason in CONCLUDING_EVENTS:
                concluding.append(event)
            elif event.reason in RUN_EVENTS:
                self._say(event.reason, event.message)
            elif event.node is not None and event.reason in _NODE_EVENTS:
                self._say(event.node, event.reason.removeprefix("Node"), event.message)
                self._told.pop(event.node, None)  # when it runs again, that is news
        for node in sorted(changes.nodes, key=self._rank):
            state = self._status.nodes.get(node)
            if state is None:  # a newer definition no longer has it
                continue
            if not state.status.ended:  # what the ends led to comes before what starts then
                self._say_all(concluding)
            self._update_node(node, state)
        self._say_all(concluding)

    def _update_node(self, node: str, state: NodeState) -> None:
        if is_item(node) and state.status is not NodeStatus.FAILED:
            return  # its map counts it
        key = self._key(state)
        if state.status is NodeStatus.RUNNING and state.next_attempt_at is not None:
            return  # disrupted, and not started again yet
        is_news = state.status in _ANNOUNCED and not is_unneeded(state)
        if self._told.get(node) != key and is_news:
            ended = elapsed(state, 0.0) if state.status.ended else ""
            self._say(node, state.status.value, ended, reason_text(state))
        self._told[node] = key

    def _say_all(self, events: list[Emit]) -> None:
        while events:
            event = events.pop(0)
            self._say(event.reason, event.message)

    async def tick(self) -> None:
        return

    def pause(self) -> None:
        return

    def go_on(self) -> None:
        return

    def close(self) -> None:
        return

    def _rank(self, node: str) -> tuple[int, int, int]:
        """Order by cause: programs that ended, what this cancelled, what starts then."""
        state = self._status.nodes.get(node)
        item = split_item(node)
        place = self._places.get(item[0] if item else node, 0)
        if state is not None and not state.status.ended:
            return 2, 0, place
        never_ran = state is not None and state.status in (NodeStatus.SKIPPED, NodeStatus.CANCELLED)
        # Members and items end before what they are of.
        return int(never_ran), -node.count(".") - (item is not None), place

    def _key(self, state: NodeState) -> tuple[str, ...]:
        return state.status.value, state.execution_id or ""

    def _say(self, subject: str, *words: str) -> None:
        clock = time.strftime("%H:%M:%S")
        rest = "  ".join(escape_control(word) for word in words if word)
        line = f"{clock}  {escape_control(subject):<{self._width}}  {rest}"
        # Where it cannot be written the run goes on, and the command's exit code tells.
        with suppress(OSError):
            print(line, file=self._stream, flush=True)


def stream_for(output: str | None) -> TextIO:
    """Return where progress goes: standard output belongs to a document that is asked for."""
    return sys.stderr if output else sys.stdout
