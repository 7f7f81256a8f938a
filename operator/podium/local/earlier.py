"""An earlier run of this machine, whose results another one takes over (`spec.from`)."""

from contextlib import ExitStack
from pathlib import Path

from podium.api.run import WorkflowRunStatus
from podium.artifacts.left import Left, has_entries
from podium.engine import Earlier, Plan, initial_context
from podium.local.artifact_store import Laptop, opened, store_path
from podium.local.artifacts import out_of
from podium.local.large_outputs import link_output
from podium.local.store import RunDirectory, RunRecord, StoreError

__all__ = ["create_from", "read_earlier"]


def read_earlier(state_dir: Path, name: str) -> Earlier:
    """Read a run to copy from it. Raises `StoreError`."""
    record, status = RunDirectory(state_dir, name).load()
    if status.started_at is None:
        raise StoreError(f"the run {name} has not begun, so it has completed nothing")
    plan = Plan.build(record.workflow, workflow_id=record.workflow_id, is_pinned=True)
    return Earlier(name, record.uid, plan, status, initial_context(plan, record.spec))


def create_from(
    directory: RunDirectory, record: RunRecord, status: WorkflowRunStatus, earlier: Earlier
) -> None:
    """Begin a run with what it copies: to delete the earlier one takes nothing from it.

    Raises `StoreError`, `ArtifactError`.
    """
    former = RunDirectory(directory.state_dir, earlier.name)
    left = Laptop(directory.state_dir, earlier.uid)
    large: dict[str, Path] = {}
    stored: list[tuple[str, str, str]] = []
    for node, state in status.nodes.items():
        origin = earlier.status.nodes[node].execution_id if state.copied_from is not None else None
        if origin is None or state.execution_id is None:
            continue
        place = former.execution(origin)
        if state.output_ref is not None:
            large[state.execution_id] = place
        if has_entries(out_of(place)):  # a podium that had no store yet left it there alone
            left.collect(node, origin, (), Left(out_of(place)), lambda: False)
        if left.has(node, origin):
            stored.append((node, origin, state.execution_id))

    def fill(new: RunDirectory) -> None:
        for execution, place in large.items():
            try:
                link_output(place, new.execution(execution))
            except FileNotFoundError:
                what = f"the output of {place.name} of the run {earlier.name} is not kept any more"
                raise StoreError(f"{what}: run its node again there") from None

    with ExitStack() as stack:
        if stored:  # held until the run is there: else what is its own would be swept
            store = stack.enter_context(opened(store_path(directory.state_dir)))
            for node, origin, execution in stored:
                manifest = store.manifest(earlier.uid, node, origin)
                if manifest is not None:
                    store.commit(manifest.of(record.uid, execution))
        directory.create(record, status, fill)
