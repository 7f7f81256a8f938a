"""The file `process` of an execution: who runs it, while its lock is held, and how it ended."""

import fcntl
import os
from pathlib import Path

from podium.local.files import read_regular

__all__ = ["alive", "exit_code", "recorded"]


def exit_code(folder: Path) -> int | None:
    """Return the recorded exit code, None if there is none."""
    try:
        return int(_lines(folder)[1])
    except (OSError, ValueError, IndexError):
        return None


def alive(folder: Path) -> bool:
    """Return whether anything of an execution's program runs."""
    try:
        lock = os.open(folder / "process", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def recorded(folder: Path) -> tuple[int, int, int] | None:
    """Return pid, restart and supervisor of an execution's program, None if it never was."""
    try:
        pid, restart, *more = map(int, _lines(folder)[0].split())
    except (OSError, ValueError):
        return None
    return pid, restart, more[0] if more else 0


def _lines(folder: Path) -> list[str]:
    return read_regular(folder / "process", 200)[0].decode(errors="replace").split("\n")
