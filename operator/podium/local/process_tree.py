"""Process trees: what runs below a process, and how all of it is ended.

Loaded by the starter and its supervisors: next to nothing is imported.
"""

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterable

__all__ = ["adopt_orphans", "below", "children_of_all", "drain", "send", "wakeup_pipe"]

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> bool:
    """Become the parent of what descendants leave behind; return whether that is possible here."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    return (
        prctl is not None
        and os.path.exists("/proc/self/stat")  # noqa: PTH110
        and prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    )


def children_of_all() -> dict[int, list[int]]:
    """Return the children of every process; nothing where there is no /proc."""
    children: dict[int, list[int]] = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/proc"):  # noqa: PTH208
            if name.isdigit():
                with contextlib.suppress(OSError):
                    file = os.open(f"/proc/{name}/stat", os.O_RDONLY)
                    text = os.read(file, 4096)
                    os.close(file)
                    parent = int(text[text.rindex(b")") + 4 :].split(b" ", 1)[0])
                    children.setdefault(parent, []).append(int(name))
    return children


def below(pid: int, children: dict[int, list[int]]) -> list[int]:
    """Return the descendants of a process."""
    found = list(children.get(pid, ()))
    for each in found:
        found += children.get(each, ())
    return found


def send(pids: Iterable[int], number: signal.Signals) -> bool:
    """Send a signal; return whether any of these could be sent it."""
    sent = False
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
            sent = True
    return sent


def wakeup_pipe() -> int:
    """Return a pipe that can be read after each signal."""
    woken, wakes = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    return woken


def drain(pipe: int) -> None:
    """Empty a pipe that wakes."""
    with contextlib.suppress(BlockingIOError):
        os.read(pipe, 4096)
