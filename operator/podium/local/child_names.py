"""Which runs on this machine are children of a run: their names follow from its executions."""

from collections.abc import Iterator

from podium.api.names import child_name
from podium.local.run_record import RunRecord
from podium.local.store import RunDirectory, StoreError

__all__ = ["child_directory", "children_of", "children_there"]


def child_directory(directory: RunDirectory, record: RunRecord, execution: str) -> RunDirectory:
    """Return the directory of the child that carries out an execution of a run."""
    name = child_name(record.name, record.uid, execution)
    return RunDirectory(directory.state_dir, name)


def children_of(
    directory: RunDirectory, record: RunRecord
) -> Iterator[tuple[str, str, RunDirectory]]:
    """Return node, execution and directory of each child that a run may have."""
    for execution in directory.child_executions():
        node = execution.rpartition("-")[0]
        yield node, execution, child_directory(directory, record, execution)


def children_there(directory: RunDirectory) -> list[RunDirectory]:
    """Return the children of a run that are kept here; of one that cannot be read: none."""
    try:
        record, _ = directory.load()
        found = [child for _, _, child in children_of(directory, record)]
    except (StoreError, OSError):
        return []
    return [child for child in found if child.exists]
