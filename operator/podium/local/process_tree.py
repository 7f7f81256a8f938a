"""Process trees: what runs below a process, and how all of it is ended.

Loaded by the starter and its supervisors: next to nothing is imported.
"""

import contextlib
import os
import signal
from collections.abc import Iterable

__all__ = ["adopt_orphans", "below", "children_of_all", "drain", "marked", "send", "wakeup_pipe"]

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> bool:
    """Become the parent of what descendants leave behind; return whether that is possible here."""
    import ctypes  # noqa: PLC0415 - podium itself does without

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


def marked(mark: bytes, session: int) -> list[int]:
    """Return what runs with a mark in its environment, or in a session; 0: in none."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/proc"):  # noqa: PTH208
            if name.isdigit():
                with contextlib.suppress(OSError):
                    if _is_marked(name, mark, session):
                        found.append(int(name))
    return found


def _is_marked(pid: str, mark: bytes, session: int) -> bool:
    text = _read(f"/proc/{pid}/stat")
    state, _, _, own = text[text.rindex(b")") + 2 :].split(b" ", 4)[:4]
    if state in (b"Z", b"X"):
        return False
    return (session > 0 and int(own) == session) or mark in _read(f"/proc/{pid}/environ")


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib is slow to load
        return file.read()
