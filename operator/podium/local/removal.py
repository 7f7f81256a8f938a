"""Runs that are removed, with all that their programs wrote."""

import os

from podium.local.child_names import children_there
from podium.local.files import remove_tree
from podium.local.processes import alive
from podium.local.store import BusyError, RunDirectory, StoreError

__all__ = ["remove_run"]


def remove_run(directory: RunDirectory) -> None:
    """Remove a run with its child runs, also one that cannot be read.

    Raises `BusyError` if a podium or a program of the run works in it, else `StoreError`.
    """
    with directory.locked():
        running = [each for each in directory.executions() if alive(directory.execution(each))]
        if running:
            raise BusyError(
                f"programs of the run {directory.name!r} still run ({', '.join(running[:5])}):"
                f" podium resume {directory.name} tracks them again, podium cancel"
                f" {directory.name} ends them"
            )
        for child in children_there(directory):
            remove_run(child)
        gone = directory.path.with_name(f".deleted-{directory.name[:200]}-{os.getpid()}")
        try:
            directory.path.rename(gone)  # a run is there whole, or not at all
            remove_tree(gone)
        except OSError as error:
            path = error.filename or gone
            raise StoreError(f"cannot remove {path}: {error.strerror}") from None
