"""Files of an execution beside its program's own.

`process`: who runs it, while its lock is held, and how it ended. `shape`: what was made of its
launch, where that is not a single process.
"""

import fcntl
import os
from pathlib import Path

from podium.local.files import read_regular

__all__ = ["SHAPE_FILE", "SINGLE", "STDOUT", "alive", "exit_code", "recorded", "stored_shape"]

SHAPE_FILE = "shape"
STDOUT = "stdout"
"""Where there is this file, the beginning of standard output is kept in it, beside the log."""
SINGLE = "single"
"""The shape of an execution without the file, as all of podium 0.1.0 are."""


def exit_code(directory: Path) -> int | None:
    """Return the recorded exit code, None if there is none."""
    try:
        return int(_lines(directory)[1])
    except (OSError, ValueError, IndexError):
        return None


def alive(directory: Path) -> bool:
    """Return whether anything of an execution's program runs."""
    try:
        lock = os.open(directory / "process", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def recorded(directory: Path) -> tuple[int, int, int] | None:
    """Return pid, restart and supervisor of an execution's program, None if it never was."""
    try:
        pid, restart, *more = map(int, _lines(directory)[0].split())
    except (OSError, ValueError):
        return None
    return pid, restart, more[0] if more else 0


def stored_shape(directory: Path) -> str:
    """Return the shape that an execution was started with; empty: it cannot be read."""
    try:
        return read_regular(directory / SHAPE_FILE, 100)[0].decode(errors="replace")
    except FileNotFoundError:
        return SINGLE
    except OSError:
        return ""


def _lines(directory: Path) -> list[str]:
    return read_regular(directory / "process", 200)[0].decode(errors="replace").split("\n")
