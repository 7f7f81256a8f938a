"""Which runs on this machine are children of a run: their names follow from its executions."""

from collections.abc import Iterator

from podium import kinds
from podium.api.compensation import bare_node
from podium.api.names import child_name, execution_id
from podium.api.run import WorkflowRunStatus
from podium.dag.members import placed_nodes
from podium.local.run_record import RunRecord
from podium.local.store import RunDirectory, StoreError

__all__ = ["children_of", "children_there"]


def children_of(record: RunRecord, status: WorkflowRunStatus) -> Iterator[tuple[str, str, str]]:
    """Return node, execution and name of each child that a run may have."""
    nodes = [node for _, node, _ in placed_nodes(record.workflow)]
    nodes += [bare_node(node) for node in nodes if node.compensation is not None]
    has_child = {
        node.id for node in nodes if kinds.of(node).has_execution and not kinds.runs_program(node)
    }
    states = {**status.removed_nodes, **status.nodes}
    for node, state in states.items():
        if node in has_child or state.child_run is not None:
            # The next one may have been launched before a crash.
            for number in range(1, state.last_execution_number + 2):
                execution = execution_id(node, number)
                yield node, execution, child_name(record.name, record.uid, execution)


def children_there(directory: RunDirectory) -> list[RunDirectory]:
    """Return the children of a run that are kept here; of one that cannot be read: none."""
    try:
        record, status = directory.load()
    except StoreError:
        return []
    names = (name for _, _, name in children_of(record, status))
    found = (RunDirectory(directory.state_dir, name) for name in names)
    return [child for child in found if child.exists]
