"""What a request does to a run: the engine carries it out, and a dry run shows it.

Pure: nothing here changes the run.
"""

from collections.abc import Container, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from podium import contracts
from podium.api.problems import Problem
from podium.api.reasons import NodeReason
from podium.api.run import CONTEXT_EDITS, ExecutionRecord, NodeStatus, WorkflowRunStatus
from podium.engine.history import (
    UNDONE,
    VersionGoneError,
    edited_context,
    former_definition,
    record_at,
)
from podium.engine.items_rerun import RequestRefusedError, items_asked, map_of
from podium.engine.model import RerunRequest, ResetRequest, RestoreRequest
from podium.engine.outdated import approvals_before
from podium.engine.plan import Plan
from podium.engine.reach import descendants, with_ancestors, with_groups
from podium.engine.selection import is_unselected, of_selected, unapproved
from podium.engine.start import check_context
from podium.engine.undone import undone_between, undone_nodes

__all__ = [
    "ContextCheck",
    "RequestRefusedError",
    "RerunPlan",
    "RestorePlan",
    "context_check",
    "failed_nodes",
    "plan_request",
]

_NOT_STALE = (NodeStatus.PENDING, NodeStatus.WAITING, NodeStatus.READY)


class RerunPlan(NamedTuple):
    """What a re-run does."""

    plan: Plan
    """The definition that the run has afterwards."""
    edit: Mapping[str, Any]
    """Context keys with the values that the request gives them, each as a whole."""
    new_base: bool
    """Whether a newer definition changes what the context begins with: this makes a version."""
    reset: tuple[str, ...]
    """Nodes that are decided and run again: those named first, then what comes after them."""
    changed: tuple[str, ...]
    """Of these: nodes that a newer definition has added or changed."""
    stale: tuple[str, ...]
    """Nodes that stay as they are, marked stale."""
    removed: tuple[str, ...]
    """Nodes that a newer definition no longer has."""
    unselected: tuple[str, ...] = ()
    """Nodes that a newer definition has added beside the part that the run runs."""
    items: Mapping[str, tuple[int, ...] | None] = MappingProxyType({})
    """Maps of which only some items run again: these, or (None) all that did not complete."""


class RestorePlan(NamedTuple):
    """What a restore does."""

    context: Mapping[str, Any]
    """The run's context as of the version."""
    restored: Mapping[str, ExecutionRecord]
    """Earlier executions that are put in place, by node."""
    reset: tuple[str, ...]
    """Nodes that had not completed then: they are decided and run again."""


class ContextCheck(NamedTuple):
    """What a request makes of the context, which must be valid before it is carried out."""

    plan: Plan
    context: Mapping[str, Any]
    given: frozenset[str]
    """Keys that users set."""
    only_declared: bool
    selected: frozenset[str] | None = None
    """Nodes that run; None: all."""

    def problems(self) -> list[Problem]:
        """Return what is wrong with it, however long that takes."""
        plan, context, given, only_declared, selected = self
        return check_context(
            plan, context, given=given, only_declared=only_declared, selected=selected
        )


def context_check(
    plan: Plan,
    status: WorkflowRunStatus,
    initial_context: Mapping[str, Any],
    request: ResetRequest,
) -> ContextCheck | None:
    """Return what `plan_request` checks of a context, for who has it checked elsewhere."""
    if status.started_at is None:
        return None
    if isinstance(request, RestoreRequest):
        if request.context is None:
            return None
        context = {**request.context, **plan.fixed_context}
        selected = _selected(plan, status, ())
        return ContextCheck(plan, context, frozenset(), only_declared=False, selected=selected)
    given = request.context or {}
    if not given and request.plan is None:
        return None
    after, edits = request.plan or plan, status.context_edits
    initial = initial_context if request.initial_context is None else request.initial_context
    context = edited_context(initial, edits, constants=after.fixed_context)
    earlier = {key for edit in edits if edit.restored is None for key in edit.context}
    keys = frozenset(given) | (earlier - after.spec.constants.keys())
    selected = _selected(after, status, request.nodes)
    merged = contracts.merged(context, given)
    return ContextCheck(after, merged, keys, request.only_declared, selected)


def _require_valid(check: ContextCheck | None, request: ResetRequest) -> None:
    if check is None:
        return
    problems = request.context_problems
    if problems is None:
        problems = tuple(check.problems())
    if problems:
        raise RequestRefusedError("; ".join(str(problem) for problem in problems))


def plan_request(
    plan: Plan,
    status: WorkflowRunStatus,
    initial_context: Mapping[str, Any],
    request: ResetRequest,
) -> RerunPlan | RestorePlan:
    """Return what a request does to a run. Raises `RequestRefusedError`."""
    if status.started_at is None:
        raise RequestRefusedError("the run has not started")
    if isinstance(request, RerunRequest):
        return _plan_rerun(plan, status, initial_context, request)
    return _plan_restore(plan, status, initial_context, request)


def failed_nodes(plan: Plan, status: WorkflowRunStatus) -> list[str]:
    """Return what keeps a run from succeeding, or was kept back by it, in the plan's order."""
    found = []
    for node in plan.nodes:
        state = status.nodes.get(node)
        if state is None or node in plan.compensations:
            continue
        is_skipped = state.status is NodeStatus.SKIPPED
        was_kept_back = is_skipped and state.reason == NodeReason.UPSTREAM_FAILED
        if state.status in (NodeStatus.FAILED, NodeStatus.CANCELLED) or was_kept_back:
            found.append(node)
    undone = undone_nodes(plan, status)
    found += [node for node in undone if node not in found]
    # A group runs again with its members: only those that failed, if any did.
    through_members = {group for node in found for group in plan.dag.around(node)}
    return [node for node in found if node not in through_members]


def _plan_rerun(
    plan: Plan, status: WorkflowRunStatus, initial: Mapping[str, Any], request: RerunRequest
) -> RerunPlan:
    after = request.plan or plan
    asked = [*request.nodes, *(failed_nodes(after, status) if request.failed else ())]
    undoing = next((node for node in request.nodes if node in after.compensations), None)
    if undoing is not None:
        raise RequestRefusedError(f"{undoing} is a compensation: name its node, which runs again")
    items = items_asked(after, status, request, asked)
    asked = list(dict.fromkeys(map_of(after, node) for node in asked))
    unknown = [node for node in asked if node not in after.nodes]
    if unknown:
        known = ", ".join(list(after.dag.nodes)[:10])
        raise RequestRefusedError(f"unknown node {', '.join(unknown)}: nodes are {known}")
    if request.plan is None and not asked:
        raise RequestRefusedError("no node failed" if request.failed else "no node is named")
    edits, given = status.context_edits, request.context or {}
    new_initial = initial if request.initial_context is None else request.initial_context
    before = edited_context(initial, edits, constants=plan.fixed_context)
    context = edited_context(new_initial, edits, constants=after.fixed_context)
    new_base = new_initial != initial or plan.fixed_context != after.fixed_context
    check = context_check(plan, status, initial, request)
    _require_valid(check, request)
    merged = context if check is None else check.context
    if given or new_base:
        _require_room(status)
    undone = undone_nodes(after, status)
    changed = [] if request.plan is None else _changed(plan, after, before, context)
    removed = tuple(node for node in plan.nodes if node not in after.nodes)
    selected = _selected(after, status, asked)
    if given or new_base or changed:  # items may be others now
        items = {}
    # Items of a map that goes on run again where they are.
    going_on = {node for node in items if status.nodes[node].status is NodeStatus.RUNNING}
    asked = [node for node in asked if node not in going_on]
    targets = dict.fromkeys([*asked, *changed, *undone])
    if selected is not None:
        changed = [node for node in changed if node in selected]
        targets = dict.fromkeys([*asked, *changed, *undone])
        if problems := unapproved(after, selected):
            raise RequestRefusedError(problems[0])
    targets.update(_with_groups(plan, after, targets, removed))
    is_edited = bool(given or new_base or changed)
    renewed = list(approvals_before(after, status, targets, is_edited=is_edited))
    targets.update(_with_groups(plan, after, renewed, ()))
    targets = dict.fromkeys(of_selected(targets, selected))
    below = descendants(after, targets, selected)
    behind = set(descendants(after, renewed, selected)) if renewed else ()
    stale = []
    if request.cascade or request.plan is not None:
        targets.update(dict.fromkeys(below))
    else:
        targets.update(undone_between(after, undone, asked))
        for node in below:
            if node in targets:
                continue
            state = status.nodes[node].status
            if state is NodeStatus.READY:  # it has not started: it waits again
                targets[node] = None
                targets.update(dict.fromkeys(after.dag.within(node)))
            elif state is NodeStatus.RUNNING and (node in behind or node in after.approvals):
                targets[node] = None  # another try of it would not be what was approved
            elif state not in _NOT_STALE:
                stale.append(node)
    items = {
        node: indexes
        for node, indexes in items.items()
        if not _runs_as_a_whole(after, node, targets, going_on, cascade=request.cascade)
    }
    if status.phase.ended:  # the run is reopened
        targets.update(dict.fromkeys(node for node in after.nodes if node in after.finally_nodes))
    return RerunPlan(
        plan=after,
        edit={key: merged[key] for key in given},
        new_base=new_base,
        reset=tuple(targets),
        changed=tuple(changed),
        stale=tuple(stale),
        removed=removed,
        unselected=()
        if selected is None
        else tuple(node for node in after.nodes if node not in plan.nodes and node not in targets),
        items=items,
    )


def _runs_as_a_whole(
    plan: Plan, map_: str, targets: Container[str], going_on: Container[str], *, cascade: bool
) -> bool:
    """Return whether a map of which items run again runs as a whole: something before it does."""
    if map_ in going_on:
        return map_ in targets
    before = with_ancestors(plan, [map_]) - {map_, *plan.dag.around(map_)}
    return cascade and any(node in targets for node in before)


def _with_groups(
    plan: Plan, after: Plan, nodes: Iterable[str], removed: Iterable[str]
) -> dict[str, None]:
    """Return nodes with the members of groups among them, and the groups of members.

    A group from which a newer definition removed members has another output, too.
    """
    found = with_groups(after, nodes)
    for node in removed:
        around = (group for group in plan.dag.around(node) if group in after.members)
        found.update(dict.fromkeys(around))
    return found


def _changed(
    old: Plan, new: Plan, before: Mapping[str, Any], context: Mapping[str, Any]
) -> list[str]:
    """Return the nodes that do something else, or read context keys that have another value."""
    keys = {
        key
        for key in before.keys() | context.keys()
        if key not in before or key not in context or before[key] != context[key]
    }
    return [
        node
        for node, now in new.identities.items()
        if node not in old.nodes
        or (node in old.finally_nodes) != (node in new.finally_nodes)
        or old.identities[node].digest != now.digest
        or (keys and (now.reads is None or not keys.isdisjoint(now.reads)))
    ]


def _plan_restore(
    plan: Plan, status: WorkflowRunStatus, initial: Mapping[str, Any], request: RestoreRequest
) -> RestorePlan:
    version = request.version
    if not 0 <= version <= status.context_version:
        raise RequestRefusedError(
            f"there is no context version {version}: versions are 0 to {status.context_version}"
        )
    _require_room(status)
    restored, reset, gone = {}, [], []
    try:
        for node in plan.nodes:
            state = status.nodes[node]
            if is_unselected(state) or node in plan.compensations:
                continue
            record = None if node in plan.finally_nodes else record_at(status, node, state, version)
            is_same = record is not None and record.execution_id == state.execution_id
            if record is None:
                reset.append(node)
            elif not is_same and (node in plan.for_each or record.reason in UNDONE):
                gone.append(node)  # its items are not kept, or what it did was undone
            elif not is_same:
                restored[node] = record
    except VersionGoneError as error:
        raise RequestRefusedError(str(error)) from None
    again = [*undone_nodes(plan, status), *gone]
    again += of_selected(descendants(plan, again), _selected(plan, status, ()))
    reset += [node for node in again if restored.pop(node, None) or node not in reset]
    context = request.context
    if context is None:
        if former_definition(status, version) is not None:
            raise RequestRefusedError(
                f"the definition that context version {version} was made under is not kept"
            )
        edits = status.context_edits
        context = edited_context(initial, edits, version, constants=plan.fixed_context)
    else:
        _require_valid(context_check(plan, status, initial, request), request)
        context = {**context, **plan.fixed_context}
    return RestorePlan(context, restored, tuple(reset))


def _require_room(status: WorkflowRunStatus) -> None:
    if max(len(status.context_edits), len(status.workflow_revisions)) >= CONTEXT_EDITS:
        raise RequestRefusedError(
            f"the context was changed {CONTEXT_EDITS} times, which is the limit: re-run without"
            " a context, or make a new run"
        )


def _selected(plan: Plan, status: WorkflowRunStatus, asked: Iterable[str]) -> frozenset[str] | None:
    """Return the nodes of a run of a part, those that are asked for now included; None: all.

    A node that a newer definition adds is not of the part.
    """
    states = status.nodes
    known = {node: states[node] for node in plan.nodes if node in states}
    selected = frozenset(node for node, state in known.items() if not is_unselected(state))
    if len(selected) == len(known):
        return None
    return selected | frozenset(with_groups(plan, [node for node in asked if node in plan.nodes]))
