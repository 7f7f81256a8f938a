"""Programs as processes, each in a session of its own; their end outlives podium.

A small `sh` around each program holds a lock while it runs and writes the exit code to a file: a
podium that comes after one that was killed finds the program still running, or learns how it
ended. A lock, unlike a pid, cannot come to mean another process.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["INTERRUPTED", "Process", "alive", "exit_code", "find", "start"]

GRACE_SECONDS = 5.0
"""Between SIGTERM and SIGKILL."""
POLL_SECONDS = 0.2
INTERRUPTED = "interrupted"
"""File in the folder of an execution that was stopped because podium was."""

_WRAPPER = """
folder=$1; echo "$$ $2" >"$folder/pid"; shift 2
"$@" </dev/null
code=$?; echo $code >"$folder/exit"; exit $code
"""
"""Standard input is the lock, which the program itself does not get."""


@dataclass(slots=True)
class Process:
    """A program that was started, by this podium or by one before it."""

    folder: Path
    pid: int = 0
    """Process group of the program; 0: it was never started."""
    restart: int = 0
    """0 for the first start of the execution, n after n disruptions."""
    child: asyncio.subprocess.Process | None = None
    """None: adopted."""
    was_alive: bool = False
    """Whether this podium saw it run: only then the pid can mean no other group."""
    stopping: bool = False
    """Whether it was asked to end and has its grace."""

    @property
    def attempt(self) -> str:
        """Return what tells this start from every other one of the run."""
        return f"{self.folder.name}/{self.restart}/{self.pid}"

    async def wait(self) -> int | None:
        """Wait for its end; return its exit code, None if nobody knows it.

        What it left running in the background ends with it, as in a container.
        """
        code = await self._ended()
        while self.stopping and self._group_alive():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.05)
        await self._sweep()
        return code

    async def stop(self) -> None:
        """End it with all it started: SIGTERM, after a grace SIGKILL. Returns when it is gone."""
        self.stopping = True
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await self._ended()
                while self._group_alive():  # noqa: ASYNC110 - the kernel tells nobody
                    await asyncio.sleep(0.05)
        await self._sweep()
        await self._ended()

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    async def _ended(self) -> int | None:
        code = None
        if self.child is not None:
            code = await self.child.wait()
        else:
            while alive(self.folder):  # noqa: ASYNC110 - not our child: nothing tells us its end
                await asyncio.sleep(POLL_SECONDS)
        recorded = exit_code(self.folder)
        return code if recorded is None else recorded

    async def _sweep(self) -> None:
        while self._group_alive():
            self._signal(signal.SIGKILL)
            await asyncio.sleep(0.02)

    def _signal(self, number: signal.Signals) -> None:
        if self.was_alive and self.pid > 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _group_alive(self) -> bool:
        if not self.was_alive or self.pid <= 0:
            return False
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # macOS, when only zombies are left
            return False
        return _has_more_than_zombies(self.pid)


async def start(
    folder: Path, argv: Sequence[str], env: Mapping[str, str], cwd: Path, restart: int = 0
) -> Process:
    """Start a program. Raises `OSError` if it cannot be started, or runs already."""
    with (folder / "alive").open("ab") as lock, (folder / "log").open("ab") as log:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in ("pid", "exit", INTERRUPTED):
            (folder / left).unlink(missing_ok=True)
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            _WRAPPER,
            "podium",
            str(folder),
            str(restart),
            *argv,
            stdin=lock,
            stdout=log,
            stderr=log,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
    return Process(folder, child.pid, restart, child, was_alive=True)


async def find(folder: Path) -> Process | None:
    """Return the program of an execution that an earlier podium started, None if it never was."""
    while True:
        runs = alive(folder)
        try:
            pid, restart = map(int, (folder / "pid").read_text().split())
        except (OSError, ValueError):
            if not runs:
                return None
            await asyncio.sleep(0.01)  # it has just been started
        else:
            return Process(folder, pid, restart, was_alive=runs)


def exit_code(folder: Path) -> int | None:
    """Return the recorded exit code, None if there is none."""
    try:
        return int((folder / "exit").read_text())
    except (OSError, ValueError):
        return None


def alive(folder: Path) -> bool:
    """Tell whether the program of an execution runs."""
    try:
        with (folder / "alive").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _has_more_than_zombies(group: int) -> bool:
    """Tell whether a process group has a process that runs; where there is no /proc, assume so.

    In a container whose first process reaps nobody, zombies stay for good.
    """
    if not Path("/proc/self/stat").exists():
        return True
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text(errors="replace")
            except OSError:
                continue
            state, _, pgrp = text.rsplit(")", 1)[1].split()[:3]
            if pgrp == str(group) and state not in "ZX":
                return True
    return False
