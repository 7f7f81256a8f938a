"""What a request does to a run: the engine carries it out, and a dry run shows it.

Pure: nothing here changes the run.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from podium.api.run import CONTEXT_EDITS, ExecutionRecord, NodeStatus, WorkflowRunStatus
from podium.engine.history import VersionGoneError, edited_context, record_at
from podium.engine.model import Request, RerunRequest, RestoreRequest
from podium.engine.plan import Plan
from podium.engine.start import check_context

__all__ = ["RequestRefusedError", "RerunPlan", "RestorePlan", "descendants", "plan_request"]

_STALE = (NodeStatus.RUNNING, NodeStatus.COMPLETED, NodeStatus.FAILED)


class RequestRefusedError(ValueError):
    """A request cannot be carried out; the message says why."""


@dataclass(frozen=True, slots=True)
class RerunPlan:
    """What a re-run does."""

    plan: Plan
    """The definition that the run has afterwards."""
    context: Mapping[str, Any] | None
    """The run's context with the request's edits; None: it makes none."""
    reset: tuple[str, ...]
    """Nodes that are decided and run again: those named first, then what comes after them."""
    changed: tuple[str, ...]
    """Of these: nodes that a newer definition has added or changed."""
    stale: tuple[str, ...]
    """Nodes that stay as they are, marked stale."""
    removed: tuple[str, ...]
    """Nodes that a newer definition no longer has."""


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore does."""

    context: Mapping[str, Any]
    """The run's context as of the version."""
    restored: Mapping[str, ExecutionRecord]
    """Earlier executions that are put in place, by node."""
    reset: tuple[str, ...]
    """Nodes that had not completed then: they are decided and run again."""


def plan_request(
    plan: Plan,
    status: WorkflowRunStatus,
    initial_context: Mapping[str, Any],
    request: Request,
) -> RerunPlan | RestorePlan:
    """Return what a request does to a run. Raises `RequestRefusedError`."""
    if status.started_at is None:
        raise RequestRefusedError("the run has not started")
    if isinstance(request, RerunRequest):
        context = edited_context(initial_context, status.context_edits)
        return _plan_rerun(plan, status, context, request)
    return _plan_restore(status, initial_context, request)


def _plan_rerun(
    plan: Plan, status: WorkflowRunStatus, context: Mapping[str, Any], request: RerunRequest
) -> RerunPlan:
    after = request.plan or plan
    unknown = [node for node in request.nodes if node not in after.nodes]
    if unknown:
        known = ", ".join(list(after.nodes)[:10])
        raise RequestRefusedError(f"unknown node {', '.join(unknown)}: nodes are {known}")
    if request.plan is None and not request.nodes:
        raise RequestRefusedError("no node is named")
    edited = None
    if request.context:
        edited = {**context, **request.context}
        if problems := check_context(after, edited):
            raise RequestRefusedError("; ".join(str(problem) for problem in problems))
        _require_room(status)
    changed = [] if request.plan is None else _changed(plan, after)
    targets = dict.fromkeys([*request.nodes, *changed])
    below = descendants(after, targets)
    stale = []
    if request.cascade or request.plan is not None:
        targets.update(dict.fromkeys(below))
    else:
        for node in below:
            state = status.nodes[node].status
            if state is NodeStatus.READY:  # it has not started: it waits again
                targets[node] = None
            elif state in _STALE:
                stale.append(node)
    return RerunPlan(
        plan=after,
        context=edited,
        reset=tuple(targets),
        changed=tuple(changed),
        stale=tuple(stale),
        removed=tuple(node for node in plan.nodes if node not in after.nodes),
    )


def _changed(old: Plan, new: Plan) -> list[str]:
    return [
        node.id
        for node in new.nodes.values()
        if node.id not in old.nodes or old.nodes[node.id].digest != node.digest
    ]


def _plan_restore(
    status: WorkflowRunStatus, initial_context: Mapping[str, Any], request: RestoreRequest
) -> RestorePlan:
    version = request.version
    if not 0 <= version <= status.context_version:
        raise RequestRefusedError(
            f"there is no context version {version}: versions are 0 to {status.context_version}"
        )
    _require_room(status)
    restored, reset = {}, []
    try:
        for node, state in status.nodes.items():
            record = record_at(status, node, state, version)
            if record is None:
                reset.append(node)
            elif record.execution_id != state.execution_id:
                restored[node] = record
    except VersionGoneError as error:
        raise RequestRefusedError(str(error)) from None
    context = edited_context(initial_context, status.context_edits, version)
    return RestorePlan(context, restored, tuple(reset))


def _require_room(status: WorkflowRunStatus) -> None:
    if len(status.context_edits) >= CONTEXT_EDITS:
        raise RequestRefusedError(
            f"the context was changed {CONTEXT_EDITS} times, which is the limit: re-run without"
            " a context, or make a new run"
        )


def descendants(plan: Plan, nodes: Iterable[str]) -> list[str]:
    """Return what comes after nodes, along edges of every type, without the nodes themselves."""
    seen = dict.fromkeys(nodes)
    first = len(seen)
    waiting = deque(seen)
    while waiting:
        for index in plan.nodes[waiting.popleft()].outgoing:
            target = plan.edges[index].target
            if target not in seen:
                seen[target] = None
                waiting.append(target)
    return list(seen)[first:]
