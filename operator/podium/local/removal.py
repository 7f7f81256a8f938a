"""Runs that are removed, with all that their programs wrote."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from podium.local.processes import alive
from podium.local.store import BusyError, RunFolder, StoreError

__all__ = ["remove_run"]


def remove_run(folder: RunFolder) -> None:
    """Remove a run, also one that cannot be read.

    Raises `BusyError` if a podium or a program of the run works in it, else `StoreError`.
    """
    with folder.locked():
        running = [each for each in folder.executions() if alive(folder.execution(each))]
        if running:
            raise BusyError(
                f"programs of the run {folder.name!r} still run ({', '.join(running[:5])}):"
                f" podium resume {folder.name} tracks them again, podium cancel {folder.name} ends"
                " them"
            )
        gone = folder.path.with_name(f".deleted-{folder.name[:200]}-{os.getpid()}")
        try:
            folder.path.rename(gone)  # a run is there whole, or not at all
            _remove(gone)
        except OSError as error:
            path = error.filename or gone
            raise StoreError(f"cannot remove {path}: {error.strerror}") from None


def _remove(path: Path) -> None:
    # Programs, and podium itself, make directories in which nothing can be removed.
    for directory, _, _ in os.walk(path):
        with suppress(OSError):
            os.chmod(directory, 0o700)  # noqa: PTH101 - a string already
    shutil.rmtree(path)
