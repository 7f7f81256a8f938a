"""History of nodes, and context versions: what context and outputs were at version N.

No log is kept: version N is, for each node, its latest execution at or below N (semantics.md 8).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from podium import contracts
from podium.api.base import shorten
from podium.api.names import compensated_path, split_item
from podium.api.reasons import NodeReason
from podium.api.run import (
    ContextEdit,
    ExecutionRecord,
    FormerDefinition,
    NodeState,
    NodeStatus,
    WorkflowRunStatus,
)
from podium.engine.item_outputs import output_of_items
from podium.errors import PodiumError

__all__ = [
    "VersionGoneError",
    "archive",
    "context_at",
    "edited_context",
    "former_definition",
    "record_at",
    "recorded_outcome",
    "was_stopped",
]

HISTORY = 10
"""Executions of a node that its history keeps."""
UNDONE = frozenset({NodeReason.COMPENSATED.value, NodeReason.COMPENSATION_FAILED.value})
"""Reasons of completed executions on which nothing may rely any more."""
RECORD_OUTPUT_BYTES = 16_384
"""Bytes of outputs that one node's history keeps; beyond it the oldest records lose theirs."""

_NOTHING: Mapping[str, Any] = {}

_STOPPED = frozenset(
    {NodeReason.TIMEOUT, NodeReason.START_TIMEOUT, NodeReason.TOO_MANY_DISRUPTIONS}
)
"""Reasons of failures whose program did not end by itself."""
_BEFORE_LAUNCH = frozenset({NodeReason.INPUT_CONTRACT, NodeReason.CONDITION_ERROR})
"""Reasons of starts that failed before there was a Job or a process."""


class VersionGoneError(PodiumError, LookupError):
    """The version never was, or is no longer kept."""


def edited_context(
    initial: Mapping[str, Any],
    edits: list[ContextEdit],
    version: int | None = None,
    *,
    constants: Mapping[str, Any] = _NOTHING,
) -> dict[str, Any]:
    """Return the run's context with its edits up to a version (default: all).

    Constants stay what they are, although an earlier definition may have let a run set the key.
    """
    context = dict(initial)
    for edit in edits:
        if version is None or edit.version <= version:
            if edit.restored is not None:
                context = dict(edit.context)
            else:
                context.update(edit.context)
    return {**context, **constants}


def former_definition(status: WorkflowRunStatus, version: int) -> FormerDefinition | None:
    """Return the definition that a context version was made under; None: the present one."""
    return next((d for d in status.workflow_revisions if version < d.before_version), None)


def context_at(
    status: WorkflowRunStatus,
    initial: Mapping[str, Any],
    version: int | None = None,
    *,
    constants: Mapping[str, Any] = _NOTHING,
) -> dict[str, Any]:
    """Return `{version, context, outputs: {node: output}}` of a version (default: the latest).

    `initial` and `constants` are those of the definition that the version was made under
    (`former_definition`). Raises `VersionGoneError` when the version never was, or is not kept.
    """
    version = status.context_version if version is None else version
    if not 0 <= version <= status.context_version:
        raise VersionGoneError(
            f"there is no context version {version}: versions are 0 to {status.context_version}"
        )
    outputs = {}
    for node, state in status.nodes.items():
        if compensated_path(node) is not None or split_item(node) is not None:
            continue  # its output goes to no node, or is part of that of its map
        record = record_at(status, node, state, version)
        if record is not None:
            outputs[node] = record.output
            if state.items is not None and not record.output:  # a map: its items have the outputs
                is_now = record.execution_id == state.execution_id
                outputs[node] = output_of_items(node, status.nodes) if is_now else None
    _gather(outputs)
    return {
        "version": version,
        "context": edited_context(initial, status.context_edits, version, constants=constants),
        "outputs": outputs,
    }


def _gather(outputs: dict[str, Any]) -> None:
    """Move the outputs of members into those of their groups, which are stored empty."""
    for node in sorted(outputs, key=lambda node: node.count("."), reverse=True):
        group, _, member = node.rpartition(".")
        if group in outputs:
            outputs[group] = {**outputs[group], member: outputs[node]}
    for node in [node for node in outputs if node.rpartition(".")[0] in outputs]:
        del outputs[node]


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
            output_ref=state.output_ref,
            artifacts=state.artifacts,
            context_version=state.context_version,
            copied_from=state.copied_from,
        )
    yield from state.history


def archive(state: NodeState, status: NodeStatus, reason: str, message: str, now: float) -> None:
    """Move the latest execution into the node's history, unless it is there."""
    if state.execution_id is None:
        return
    for place, known in enumerate(state.history):
        if known.execution_id == state.execution_id:
            if reason in UNDONE:  # since a restore put it in place
                state.history[place] = known.model_copy(update={"reason": reason})
            return
    record = ExecutionRecord(
        execution_id=state.execution_id,
        status=status,
        reason=reason,
        message=shorten(message, 256),
        started_at=state.started_at,
        completed_at=state.completed_at or now,
        output=state.output,
        output_ref=state.output_ref,
        artifacts=state.artifacts if status is NodeStatus.COMPLETED else None,
        context_version=state.context_version,
        token_usage=state.token_usage,
        cost=state.cost,
        copied_from=state.copied_from,
    )
    state.history = [record, *state.history][:HISTORY]
    room = RECORD_OUTPUT_BYTES
    for old in state.history:
        if old.output is not None:
            room -= len(contracts.canonical(old.output))
            if room < 0:
                old.output = None
    state.output = state.output_ref = None
    state.context_version = state.copied_from = None
    state.token_usage = state.cost = None
    state.quality_score = state.contract_fulfilled = None


def was_stopped(state: NodeState) -> bool:
    """Return whether a node failed because Podium stopped its program, which may take a while."""
    return state.status is NodeStatus.FAILED and state.reason in _STOPPED


def recorded_outcome(state: NodeState, execution: str) -> bool | None:
    """Return whether an execution succeeded whose program was seen to end.

    None: it has not ended, or was asked to, or nothing was launched as far as the status knows.
    """
    source: NodeState | ExecutionRecord | None
    if state.execution_id == execution and state.status.ended:
        source = state
        reason = state.error.reason if state.error is not None else state.reason
    else:
        source = next((r for r in state.history if r.execution_id == execution), None)
        reason = source.reason if source is not None else ""
    if source is None:
        return None
    if source.status is NodeStatus.FAILED:
        never_launched = source.started_at is None and reason in _BEFORE_LAUNCH
        return None if reason in _STOPPED or never_launched else False
    return True if source.status is NodeStatus.COMPLETED else None
