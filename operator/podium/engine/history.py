"""Context versions: what the run's context and outputs were at version N (semantics.md 8).

No log is kept: version N is, for each node, its latest execution at or below N.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from podium.api.run import ContextEdit, ExecutionRecord, NodeState, NodeStatus, WorkflowRunStatus

__all__ = ["VersionGoneError", "context_at", "edited_context", "record_at"]

HISTORY = 10
"""Executions of a node that its history keeps."""


class VersionGoneError(LookupError):
    """The version never was, or is no longer kept."""


def edited_context(
    initial: Mapping[str, Any], edits: list[ContextEdit], version: int | None = None
) -> dict[str, Any]:
    """Return the run's context with its edits up to a version (default: all)."""
    context = dict(initial)
    for edit in edits:
        if version is None or edit.version <= version:
            if edit.restored is not None:
                context = dict(edit.context)
            else:
                context.update(edit.context)
    return context


def context_at(
    status: WorkflowRunStatus, initial: Mapping[str, Any], version: int | None = None
) -> dict[str, Any]:
    """Return `{version, context, outputs: {node: output}}` of a version (default: the latest).

    Raises `VersionGoneError` when there is no such version, or it is no longer kept.
    """
    version = status.context_version if version is None else version
    if not 0 <= version <= status.context_version:
        raise VersionGoneError(
            f"there is no context version {version}: versions are 0 to {status.context_version}"
        )
    outputs = {}
    for node, state in status.nodes.items():
        record = record_at(status, node, state, version)
        if record is not None:
            outputs[node] = record.output
    return {
        "version": version,
        "context": edited_context(initial, status.context_edits, version),
        "outputs": outputs,
    }


def record_at(
    status: WorkflowRunStatus, node: str, state: NodeState, version: int
) -> ExecutionRecord | None:
    """Return a node's latest completed execution at or below a version, None if there is none.

    Raises `VersionGoneError` if it may have been among those that history no longer keeps.
    """
    hidden = [
        (edit.restored, edit.version)
        for edit in status.context_edits
        if edit.restored is not None and edit.version <= version
    ]
    best: ExecutionRecord | None = None
    for record in _records(state):
        made = record.context_version
        if made is None or made > version or any(low < made < high for low, high in hidden):
            continue
        if best is None or made > (best.context_version or 0):
            best = record
    if best is not None and best.output is None:
        raise VersionGoneError(f"the output of {best.execution_id} is no longer kept")
    oldest = state.history[-1].context_version if len(state.history) >= HISTORY else None
    if best is None and oldest is not None and oldest > version:
        raise VersionGoneError(
            f"context version {version} is no longer kept: history holds the last {HISTORY}"
            f" executions of {node}"
        )
    return best


def _records(state: NodeState) -> Iterator[ExecutionRecord]:
    if state.status is NodeStatus.COMPLETED and state.execution_id is not None:
        yield ExecutionRecord(
            execution_id=state.execution_id,
            status=state.status,
            started_at=state.started_at,
            completed_at=state.completed_at,
            output=state.output,
            context_version=state.context_version,
        )
    yield from state.history
