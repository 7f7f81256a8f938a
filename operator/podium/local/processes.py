"""Programs as processes, each in a session of its own; their end outlives podium.

A small `sh` around each program writes its exit code to a file, so that a podium that was killed
learns on `resume` how the program ended, or finds it still running (pid and start time).
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "find", "start"]

GRACE_SECONDS = 5.0
"""Between SIGTERM and SIGKILL."""
POLL_SECONDS = 0.2

_WRAPPER = 'record=$1; shift; "$@"; code=$?; echo $code >"$record"; exit $code'


@dataclass(slots=True)
class Process:
    """A program that was started, by this podium or by one before it."""

    folder: Path
    pid: int
    child: asyncio.subprocess.Process | None = None
    """None: adopted."""

    async def wait(self) -> int | None:
        """Wait for its end; return its exit code, None if nobody knows it."""
        if self.child is not None:
            code = await self.child.wait()
            return recorded if (recorded := exit_code(self.folder)) is not None else code
        while alive(self.folder):  # noqa: ASYNC110 - not our child: nothing tells us its end
            await asyncio.sleep(POLL_SECONDS)
        return exit_code(self.folder)

    async def stop(self) -> None:
        """End it with all it started: SIGTERM, after a grace SIGKILL. Returns when it is gone."""
        _signal(self.pid, signal.SIGTERM)
        for _ in range(int(GRACE_SECONDS / 0.05)):
            if not group_alive(self.pid):
                break
            await asyncio.sleep(0.05)
        _signal(self.pid, signal.SIGKILL)
        while group_alive(self.pid):  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.02)
        if self.child is not None:
            await self.child.wait()


async def start(folder: Path, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> Process:
    """Start a program. Raises `OSError` if it cannot be started."""
    record = folder / "exit"
    record.unlink(missing_ok=True)
    with (folder / "log").open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            _WRAPPER,
            "podium",
            str(record),
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
    (folder / "pid").write_text(f"{child.pid} {_start_time(child.pid)}")
    return Process(folder, child.pid, child)


def find(folder: Path) -> Process | None:
    """Return the program of an execution that an earlier podium started, None if it never was."""
    try:
        pid = int((folder / "pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return Process(folder, pid)


def exit_code(folder: Path) -> int | None:
    """Return the recorded exit code, None if there is none."""
    try:
        return int((folder / "exit").read_text())
    except (OSError, ValueError):
        return None


def alive(folder: Path) -> bool:
    """Tell whether the program of an execution runs: by its pid and start time."""
    try:
        pid, started = (folder / "pid").read_text().split()
    except (OSError, ValueError):
        return False
    return _start_time(int(pid)) == started and not _is_zombie(int(pid))


def group_alive(pid: int) -> bool:
    """Tell whether any process of the group runs."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields and fields[2] == str(pid) and fields[0] != "Z":
                return True
    return False


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, ppid, pgrp and so on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rsplit(")", 1)[1].split()


def _start_time(pid: int) -> str:
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else "-"


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] == ["Z"]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
