"""The directory of an execution: made, and cleared for its next start."""

from pathlib import Path

from podium.local import processes
from podium.local.files import remove

__all__ = ["clear", "make"]

_KEPT = frozenset({"log", "log.times", "process", processes.INTERRUPTED, "stop", "kill"})
"""Files of an execution that its next start finds, or that its supervisor removes."""


def clear(directory: Path) -> None:
    """Leave of an earlier start of the execution only its log, and who ran it.

    As on a cluster, where each start has a Pod of its own: what a program left half written, or put
    in the place of podium's files, is not part of the next start.
    """
    directory.chmod(0o700)
    for entry in directory.iterdir():
        if entry.name not in _KEPT:
            remove(entry)


def make(directory: Path) -> bool:
    """Make the private directory of an execution; False: it is there."""
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if directory.is_symlink() or not directory.is_dir():  # a program put it there
            remove(directory)
            directory.mkdir(mode=0o700)
            return True
        return False
    return True
