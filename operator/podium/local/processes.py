"""Programs as processes, each in a session of its own; their end outlives podium.

A small process beside podium (`podium.local.starter`) starts them, holds a lock for each while it
runs and writes its exit code to a file: a podium that comes after one that was killed finds the
program still running, or learns how it ended. A lock, unlike a pid, cannot come to mean another
process.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.local import starter

__all__ = ["INTERRUPTED", "Process", "Programs", "alive", "exit_code", "find"]

GRACE_SECONDS = 5.0
"""Between SIGTERM and SIGKILL."""
POLL_SECONDS = 0.2
INTERRUPTED = "interrupted"
"""File in the folder of an execution that was stopped because podium was."""


@dataclass(slots=True)
class Process:
    """A program that was started, by this podium or by one before it."""

    folder: Path
    pid: int = 0
    """Process group of the program; 0: it was never started."""
    restart: int = 0
    """0 for the first start of the execution, n after n disruptions."""
    begun: asyncio.Future[None] | None = None
    """Done when it has been started, or could not be; None: an earlier podium started it."""
    end: asyncio.Future[int | None] | None = None
    """Its exit code, once it has ended."""
    started_at: float | None = None
    ended_at: float | None = None
    was_alive: bool = False
    """Whether this podium saw it run: only then the pid can mean no other group."""
    stopping: bool = False
    """Whether it was asked to end and has its grace."""
    killed: bool = False
    """Whether it has no grace."""

    @property
    def attempt(self) -> str:
        """Return what tells this start from every other one of the run."""
        return f"{self.folder.name}/{self.restart}/{self.pid}"

    async def is_begun(self) -> bool:
        """Wait for its start; False: it could not be started."""
        if self.begun is not None:
            if not self.begun.done():
                await asyncio.wait([self.begun])
            return self.begun.exception() is None
        return True

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
        if not await self.is_begun():
            return
        self._signal(signal.SIGKILL if self.killed else signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await self._ended()
                while self._group_alive():  # noqa: ASYNC110 - the kernel tells nobody
                    await asyncio.sleep(0.05)
        await self._sweep()
        await self._ended()

    def kill(self) -> None:
        """End it at once."""
        self.killed = True
        self._signal(signal.SIGKILL)

    async def _ended(self) -> int | None:
        if self.end is not None:
            return await asyncio.shield(self.end)
        while alive(self.folder):  # noqa: ASYNC110 - its starter is not ours and tells us nothing
            await asyncio.sleep(POLL_SECONDS)
        return exit_code(self.folder)

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


class Programs:
    """The programs of one run. Their starter is started with the first one."""

    def __init__(self) -> None:
        self._answers: _Answers | None = None
        self._starter: subprocess.Popen[bytes] | None = None

    def start(
        self, folder: Path, argv: Sequence[str], env: Mapping[str, str], cwd: Path, restart: int = 0
    ) -> Process:
        """Have a program started; the first argument is its path. `ready` comes first.

        Raises `ValueError` if a text has a null byte. If it cannot be started, or runs already,
        `begun` of the process says so, with an `OSError`.
        """
        assert self._answers is not None  # noqa: S101 - for the type checker
        process = Process(folder, restart=restart)
        key = folder.name
        variables = [f"{name}={value}" for name, value in env.items()]
        words = [key, str(folder), str(restart), str(cwd), str(len(argv)), *argv, *variables]
        request = os.fsencode("\0".join(words))
        if request.count(b"\0") != len(words) - 1:
            raise ValueError("an argument or a variable has a null byte")
        self._answers.ask(key, process, len(request).to_bytes(4, "big") + request)
        return process

    async def ready(self) -> None:
        """Start the starter, if there is none."""
        if self._answers is None or self._answers.lost:
            self.close()
            ours, theirs = socket.socketpair()
            self._starter = subprocess.Popen(  # noqa: ASYNC220 - once a run, and quick
                [sys.executable, "-I", "-S", starter.__file__, str(os.getpid())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            theirs.close()
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            _, self._answers = await loop.create_unix_connection(_Answers, sock=ours)

    def close(self) -> None:
        """Let the starter go: it ends with the last program."""
        if self._answers is not None:
            self._answers.close()
        self._answers = None
        if self._starter is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._starter.wait(1)
        self._starter = None


class _Answers(asyncio.Protocol):
    """What the starter says."""

    def __init__(self) -> None:
        self.lost = False
        self._transport: asyncio.WriteTransport | None = None
        self._begun = b""
        self._asked: dict[str, Process] = {}
        self._running: dict[str, Process] = {}

    def ask(self, key: str, process: Process, request: bytes) -> None:
        """Ask for a start."""
        assert self._transport is not None  # noqa: S101 - for the type checker
        loop = asyncio.get_running_loop()
        process.begun = loop.create_future()
        process.end = loop.create_future()
        self._asked[key] = process
        self._transport.write(request)

    def close(self) -> None:
        """Ask for nothing more."""
        if self._transport is not None and not self.lost:
            self._transport.write_eof()  # at once; to close it takes another turn of the loop
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where to ask."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - for the type checker
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take answers in."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            said, key, number, rest = os.fsdecode(line).split(" ", 3)
            if said == "ended":
                process = self._running.pop(key)
                process.ended_at = float(rest)
                _settle(process.end, int(number))
                continue
            process = self._asked.pop(key)
            if said == "started":
                process.pid, process.started_at = int(number), float(rest)
                process.was_alive = True
                self._running[key] = process
                _settle(process.begun, None)
            else:
                _settle(process.begun, OSError(int(number), rest))

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up: the starter was killed. What it had started is ended by those who wait."""
        del exc
        self.lost = True
        for process in self._asked.values():
            _settle(process.begun, OSError(0, "the process that starts programs was killed"))
        for process in self._running.values():
            _settle(process.end, None)


def _settle(future: "asyncio.Future[Any] | None", result: Any) -> None:
    if future is None or future.done():
        return
    if isinstance(result, OSError):
        future.set_exception(result)
    else:
        future.set_result(result)


async def find(folder: Path) -> Process | None:
    """Return the program of an execution that an earlier podium started, None if it never was."""
    while True:
        runs = alive(folder)
        try:
            pid, restart = map(int, (folder / "process").read_text().split("\n")[0].split())
        except (OSError, ValueError):
            if not runs:
                return None
            await asyncio.sleep(0.01)  # it has just been started
        else:
            return Process(folder, pid, restart, was_alive=runs)


def exit_code(folder: Path) -> int | None:
    """Return the recorded exit code, None if there is none."""
    try:
        return int((folder / "process").read_text().split("\n")[1])
    except (OSError, ValueError, IndexError):
        return None


def alive(folder: Path) -> bool:
    """Tell whether the program of an execution runs."""
    try:
        with (folder / "process").open("rb") as lock:
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
