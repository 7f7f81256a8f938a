"""Programs as processes, each supervised by one that knows its whole tree; they outlive podium.

A small process beside podium (`podium.local.starter`) has them started. Each program's supervisor
holds a lock while anything of it runs and writes its exit code to a file: a podium that comes after
one that was killed finds the program still running, or learns how it ended. A lock, unlike a pid,
cannot come to mean another process.
"""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from podium.local.orphans import end_orphans
from podium.local.process_file import SINGLE, alive, exit_code, recorded, stored_shape
from podium.local.process_tree import marked

__all__ = ["INTERRUPTED", "Process", "alive", "exit_code", "find"]

GRACE_SECONDS = 5.0
"""Between SIGTERM and SIGKILL."""
POLL_SECONDS = 0.2
INTERRUPTED = "interrupted"
"""File in the directory of an execution that was stopped because podium was."""


@dataclass(slots=True)
class Process:
    """A program that was started, by this podium or by one before it."""

    directory: Path
    pid: int = 0
    """The program; 0: it was never started, or not by this podium's knowledge."""
    restart: int = 0
    """0 for the first start of the execution, n after n disruptions."""
    shape: str = SINGLE
    """What was made of its launch (`podium.local.shapes`)."""
    supervisor: int = 0
    """0: it has none, as what podium 0.1.0 started."""
    begun: asyncio.Future[None] | None = None
    """Done when it has been started, or could not be; None: an earlier podium started it."""
    end: asyncio.Future[int | None] | None = None
    """Its exit code, once nothing of it runs; None: the starter was killed, see its file."""
    started_at: float | None = None
    ended_at: float | None = None
    was_alive: bool = False
    """Whether this podium saw it run: only then the pid can mean no other process."""
    stopping: bool = False
    """Whether it was asked to end and has its grace."""
    killed: bool = False
    """Whether it has no grace."""

    @property
    def attempt(self) -> str:
        """Return what tells this start from every other one of the run."""
        return f"{self.directory.name}/{self.restart}/{self.pid}"

    async def is_begun(self) -> bool:
        """Wait for its start; False: it could not be started."""
        if self.begun is not None:
            if not self.begun.done():
                await asyncio.wait([self.begun])
            return self.begun.exception() is None
        return True

    async def wait(self) -> int | None:
        """Wait until nothing of it runs any more; return its exit code, None if it was lost.

        What it left running in the background ends with it, as in a container.
        """
        code = await asyncio.shield(self.end) if self.end is not None else None
        if code is None:
            while alive(self.directory):  # noqa: ASYNC110 - its starter is gone and tells nothing
                await asyncio.sleep(POLL_SECONDS)
            code = exit_code(self.directory)
        if code is None or not self.supervisor:
            while self._signal_marked(signal.SIGKILL):  # noqa: ASYNC110 - nor does the kernel
                await asyncio.sleep(0.05)
            await end_orphans()
        return code

    async def stop(self) -> None:
        """End it with all it started: SIGTERM, after a grace SIGKILL. Returns when it is gone."""
        self.stopping = True
        if not await self.is_begun():
            return
        self._ask("stop", signal.SIGTERM)
        if self.killed:
            self.kill()
        if not self.supervisor:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE_SECONDS):
                    while self._marked():  # noqa: ASYNC110 - the kernel tells nothing
                        await asyncio.sleep(0.05)
            self._signal_marked(signal.SIGKILL)
        await self.wait()

    def kill(self) -> None:
        """End it at once."""
        self.killed = True
        if self.stopping:
            self._ask("kill", signal.SIGKILL)

    def _ask(self, file: str, number: signal.Signals) -> None:
        """Ask the supervisor to end the tree; where there is none, send the signal."""
        if self.end is not None and self.end.done() and self.end.result() is not None:
            return
        if self.supervisor and alive(self.directory):
            with contextlib.suppress(OSError):  # no space for a file, or no supervisor any more
                (self.directory / file).touch()
                os.kill(self.supervisor, signal.SIGUSR1)
                os.kill(self.supervisor, signal.SIGCONT)
                return
        self._signal_marked(number)

    def _signal_marked(self, number: signal.Signals) -> bool:
        """Send a signal to what is left of it; return whether anything could be sent it."""
        sent = False
        if not Path("/proc/self").exists() and self.was_alive and self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)
                sent = True
        for pid in self._marked():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
                sent = True
        return sent

    def _marked(self) -> list[int]:
        """Return what carries the execution's mark, or is of its session."""
        mark = os.fsencode(f"PODIUM_INPUT={self.directory}/input.json\0")
        return marked(mark, self.pid if self.was_alive else 0)


async def find(directory: Path) -> Process | None:
    """Return the program of an execution that an earlier podium started, None if it never was."""
    while True:
        runs = alive(directory)
        found = recorded(directory)
        if found is not None:
            pid, restart, supervisor = found
            shape = stored_shape(directory)
            return Process(directory, pid, restart, shape, supervisor, was_alive=runs)
        if not runs:
            return None
        await asyncio.sleep(0.01)  # it has just been started
