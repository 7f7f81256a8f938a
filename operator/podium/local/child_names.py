"""Which runs on this machine are children of a run: their names follow from its executions."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import orjson

from podium.api.names import child_name
from podium.local.files import read_whole
from podium.local.run_record import RunRecord
from podium.local.store import RunDirectory, StoreError, list_runs

__all__ = ["child_directory", "children_of", "children_there", "newest_run"]


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


def newest_run(state_dir: Path) -> str | None:
    """Return the name of the newest root run; None: there is none."""
    return next(
        (name for name in reversed(list_runs(state_dir)) if not _is_child(state_dir, name)), None
    )


def _is_child(state_dir: Path, name: str) -> bool:
    with suppress(OSError, ValueError):  # one that cannot be read counts as a root run
        document = orjson.loads(read_whole(RunDirectory(state_dir, name).path / "run.json"))
        return isinstance(document, dict) and bool(document.get("parent"))
    return False
