"""The logs of a run's executions: when their lines came, and no values of secrets left in them.

Programs write to their log themselves, so that it outlives podium. When a line came is known from
`log.times` beside it: `SIZE SECONDS` for each time at which podium saw that the log had grown.
"""

import bisect
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from podium.api.run import NodeStatus, WorkflowRunStatus
from podium.local.files import open_private, open_regular
from podium.local.process_file import STDOUT
from podium.local.secrets import Mask
from podium.local.store import RunDirectory

__all__ = ["TICK_SECONDS", "LineTimes", "LogFiles"]

TICK_SECONDS = 0.25


class LogFiles:
    """Looks after the logs of a run while podium works on it."""

    def __init__(self, directory: RunDirectory, status: WorkflowRunStatus, mask: Mask) -> None:
        self._directory = directory
        self._status = status
        self._mask = mask
        self._sizes: dict[str, int] = {}
        self._open: set[str] = set()
        """Executions that ran here, with values of secrets perhaps in their logs."""

    def note_sizes(self) -> None:
        """Write down which logs have grown."""
        for state in self._status.nodes.values():
            execution = state.execution_id
            if state.status is not NodeStatus.RUNNING or execution is None:
                continue
            with suppress(OSError):
                log = self._directory.execution(execution) / "log"
                found = log.lstat()
                size = found.st_size
                if size > self._sizes.get(execution, 0):
                    self._sizes[execution] = size
                    with open_private(log.with_name("log.times"), os.O_APPEND) as times:
                        times.write(b"%d %.3f\n" % (size, found.st_mtime))

    def update(self, nodes: Iterable[str]) -> None:
        """Take in that nodes changed: what has ended gets its log masked."""
        if not self._mask:
            return
        for node in nodes:
            state = self._status.nodes.get(node)
            if state is None:  # an item that has ended, or nothing that is part of the run
                for execution in [each for each in self._open if each.rpartition("-")[0] == node]:
                    self._overwrite(execution)
                continue
            if state.execution_id is not None:
                self._open.add(state.execution_id)
            ended = [record.execution_id for record in state.history[:1]]
            if state.status in (NodeStatus.COMPLETED, NodeStatus.FAILED) and state.execution_id:
                ended.append(state.execution_id)
            for execution in self._open.intersection(ended):
                self._overwrite(execution)

    def close(self) -> None:
        """Mask what is left, once nothing runs any more."""
        for execution in list(self._open):
            self._overwrite(execution)

    def _overwrite(self, execution: str) -> None:
        self._open.discard(execution)
        for name in ("log", STDOUT):
            with suppress(OSError):  # it printed nothing, or put something else in its place
                self._mask.overwrite(self._directory.execution(execution) / name)


class LineTimes:
    """When the lines of a log came, as closely as podium saw it; else when it was last written."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0
        self._sizes: list[int] = []
        self._seconds: list[float] = []

    def at(self, end: int) -> float:
        """Return the time of the line that ends at a byte of the log."""
        if not self._sizes or end > self._sizes[-1]:
            self._load()
        place = bisect.bisect_left(self._sizes, end)
        if place < len(self._sizes):
            return self._seconds[place]
        return self._log.lstat().st_mtime

    def _load(self) -> None:
        with (
            suppress(OSError, ValueError),  # there is none, or a program wrote something else there
            open_regular(self._log.with_name("log.times")) as times,
        ):
            times.seek(self._read)
            for line in times:
                if line.endswith(b"\n"):
                    size, seconds = line.split()
                    self._sizes.append(int(size))
                    self._seconds.append(float(seconds))
                    self._read += len(line)
