"""Results that a run takes over from an earlier one (`spec.from`, semantics.md 3)."""

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from podium.api.names import execution_id, item_path
from podium.api.reasons import NodeReason
from podium.api.run import CopiedFrom, NodeState, NodeStatus, WorkflowRunSpec, WorkflowRunStatus
from podium.engine.history import edited_context, former_definition
from podium.engine.plan import Plan
from podium.engine.reach import descendants
from podium.engine.selection import selected_nodes
from podium.engine.undone import undone_nodes

__all__ = ["Earlier", "copied_states", "copied_states_in_slices"]

_QUALITY = "quality_threshold"
"""Context key by which outputs are judged, whether their node is given it or not."""
_RANGES = ("completed", "failed", "skipped")
_ORIGINS = 25
"""Runs whose artifacts a status has room for; what others left is made again."""
_DECIDED_BY_OTHERS = frozenset({NodeReason.UPSTREAM_FAILED, NodeReason.NOT_SELECTED})
"""Why a node was skipped that would perhaps have run if the run had gone otherwise."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run that results are copied from, as it is at the moment."""

    name: str
    uid: str
    plan: Plan
    status: WorkflowRunStatus
    initial_context: Mapping[str, Any]
    has_artifacts: bool = True
    """Whether what its nodes left is where the new run looks for it."""
    are_recorded: bool = False
    """Whether the state of each node tells what it left."""


def copied_states(
    plan: Plan, spec: WorkflowRunSpec, context: Mapping[str, Any], earlier: Earlier, now: float
) -> dict[str, NodeState]:
    """Return the states of the nodes that a run takes over, by node; those of items come last."""
    work = copied_states_in_slices(plan, spec, context, earlier, now)
    while True:
        try:
            next(work)
        except StopIteration as done:
            copied: dict[str, NodeState] = done.value
            return copied


def copied_states_in_slices(
    plan: Plan, spec: WorkflowRunSpec, context: Mapping[str, Any], earlier: Earlier, now: float
) -> Generator[None, None, dict[str, NodeState]]:
    """Return the states of the nodes that a run takes over, by node; those of items come last.

    `context` is its context version 0. A node is taken over if it ended well, or was skipped, in
    the earlier run, does and reads the same in both, and comes after nothing that runs. Never: an
    approval, which nothing stands in for; a node of `finally`; a node that `only` names.
    """
    selected = selected_nodes(plan, spec)
    named = [*spec.only, *([spec.from_.node] if spec.from_ and spec.from_.node else ())]
    again = {member: None for name in named for member in (name, *plan.dag.within(name))}
    same = _Same(plan, context, earlier)
    undone = {*undone_nodes(earlier.plan, earlier.status)}
    if not earlier.status.phase.ended:  # it may be rolled back yet
        undone |= {*earlier.plan.compensations.values()}
    settled = []
    origins: set[str] = set()
    for node in plan.nodes:
        yield
        if node in again or node in plan.compensations:
            continue
        state = earlier.status.nodes.get(node)
        if node in plan.approvals or state is None or not same.holds(node):
            again.update(dict.fromkeys((node, *plan.dag.within(node))))
        elif (
            node in undone
            or not _is_settled(plan, node, state, earlier)
            or not _has_room(state, earlier, origins)
        ):
            again[node] = None
        else:
            settled.append(node)
    runs = [node for node in again if node in plan.nodes and (not selected or node in selected)]
    again.update(dict.fromkeys(descendants(plan, runs)))
    if selected:
        again.update(dict.fromkeys(_left_out(plan, again, selected)))
    for group in plan.members:  # each before the groups in it
        if group in again:
            again.update(dict.fromkeys(_never_begun(plan, group, earlier)))
    taken = [node for node in settled if node not in again and node not in plan.finally_nodes]
    copied = {node: _copied(node, earlier, now) for node in taken}
    for node in taken:
        for item, state in _items(node, earlier, now):
            copied[item] = state
            yield
    return copied


def _has_room(state: NodeState, earlier: Earlier, origins: set[str]) -> bool:
    """Return whether the status can name the run that has what a node left; note that it does."""
    origin = state.copied_from.uid if state.copied_from is not None else earlier.uid
    if not _leaves(state) or origin in origins:
        return True
    if len(origins) == _ORIGINS:
        return False
    origins.add(origin)
    return True


def _left_out(plan: Plan, again: Collection[str], selected: Collection[str]) -> set[str]:
    """Return the groups that lack a member which is not copied, and what is in these.

    Where the member is of the part that runs, so is its group, whose other members stay copied.
    """
    found: set[str] = set()
    for group in reversed(list(plan.members)):  # each after the groups in it
        if any(node in again or node in found for node in plan.members[group]):
            found.add(group)
    outside = [group for group in found if group not in selected]
    return found.union(*(plan.dag.within(group) for group in outside))


def _never_begun(plan: Plan, group: str, earlier: Earlier) -> Iterator[str]:
    """Return the direct members that were skipped with their group, which is to be decided now."""
    states = earlier.status.nodes
    for node in plan.members[group]:
        if node in states and states[node].reason == NodeReason.GROUP_SKIPPED:
            yield node


def _is_settled(plan: Plan, node: str, state: NodeState, earlier: Earlier) -> bool:
    """Return whether how a node ended may be taken over."""
    if state.status is NodeStatus.SKIPPED:
        return state.reason not in _DECIDED_BY_OTHERS
    if state.status is not NodeStatus.COMPLETED or state.stale:
        return False
    is_map = state.items is not None
    if is_map is not (node in plan.for_each):
        return False
    if _mounts_volume(plan, node):  # the new run has a volume of its own, which is empty
        return False
    made_of_others = is_map or node in plan.members
    if state.execution_id is None or (state.output is None and not made_of_others):
        return False
    if is_map:  # its items leave nothing in the store
        return True
    if state.artifacts is None and earlier.are_recorded and node in plan.keeps_artifacts:
        return False
    return earlier.has_artifacts or not _leaves(state)


def _mounts_volume(plan: Plan, node: str) -> bool:
    """Return whether a node mounts a volume of its run."""
    pod, claims = plan.nodes[node].definition.pod, plan.spec.volume_claims
    names = {claim.name for claim in claims}
    return bool(names) and pod is not None and any(m.name in names for m in pod.volume_mounts)


def artifacts_of(states: Iterable[NodeState]) -> str:
    """Return the UIDs of the runs whose artifacts are copied, as the status has them."""
    found = {
        state.copied_from.uid
        for state in states
        if state.copied_from is not None and _leaves(state)
    }
    return ",".join(sorted(found))


def _leaves(state: NodeState) -> bool:
    """Return whether a node left something in the store."""
    return state.artifacts is not None or state.output_ref is not None


class _Same:
    """Whether nodes do and read the same in an earlier run (semantics.md 8)."""

    def __init__(self, plan: Plan, context: Mapping[str, Any], earlier: Earlier) -> None:
        self._plan = plan
        self._context = context
        self._earlier = earlier
        self._differing: dict[int, set[str]] = {}
        """Context keys that had another value, by the number of edits that had been made."""

    def holds(self, node: str) -> bool:
        """Return whether a node does the same, and reads the same values."""
        old, new = self._earlier.plan, self._plan
        if node not in old.nodes or (node in old.finally_nodes) != (node in new.finally_nodes):
            return False
        identity = new.identities[node]
        if old.identities[node].digest != identity.digest:
            return False
        state = self._earlier.status.nodes[node]
        if self._was_restored(state):
            return False
        differing = self._differing_for(state)
        if not differing:
            return True
        return identity.reads is not None and differing.isdisjoint({*identity.reads, _QUALITY})

    def _differing_for(self, state: NodeState) -> set[str]:
        """Return the context keys that had another value when a node was started."""
        version, started = state.context_version, state.launched_at or state.started_at
        edits = [
            edit
            for edit in self._earlier.status.context_edits
            if (version is None or edit.version <= version)
            and (edit.at is None or started is None or edit.at <= started)
        ]
        found = self._differing.get(len(edits))
        if found is None:
            constants = self._earlier.plan.fixed_context
            before = edited_context(self._earlier.initial_context, edits, constants=constants)
            now = self._context
            found = {
                key
                for key in before.keys() | now.keys()
                if key not in before or key not in now or before[key] != now[key]
            }
            self._differing[len(edits)] = found
        return found

    def _was_restored(self, state: NodeState) -> bool:
        """Return whether a restore put a result in place that an earlier definition had made."""
        status, version = self._earlier.status, state.context_version
        if version is None or not status.workflow_revisions:
            return False
        former = former_definition(status, version)
        return former is not None and any(
            edit.restored is not None and edit.version >= former.before_version
            for edit in status.context_edits
        )


def _copied(node: str, earlier: Earlier, now: float) -> NodeState:
    """Return the state of a node that is taken over: nothing of it ran in this run."""
    state = earlier.status.nodes[node]
    origin = state.copied_from
    if origin is None:
        execution = state.execution_id or ""
        origin = CopiedFrom(run=earlier.name, uid=earlier.uid, execution_id=execution)
    copied = NodeState(
        status=state.status,
        reason=state.reason,
        message=state.message,
        created_at=now,
        updated_at=now,
        started_at=state.started_at,
        completed_at=state.completed_at,
        duration_seconds=state.duration_seconds,
        warnings=list(state.warnings),
        retry_count=state.retry_count,
        copied_from=origin,
    )
    if state.status is NodeStatus.COMPLETED:
        copied.execution_id = execution_id(node, 1)
        copied.cancelled_launches = 1
        copied.context_version = 0
        copied.output, copied.output_ref = state.output, state.output_ref
        copied.artifacts = state.artifacts
        copied.quality_score = state.quality_score
        copied.contract_fulfilled = state.contract_fulfilled
        if state.items is not None:
            items = state.items
            ranges = {each: getattr(items, each).copy() for each in _RANGES}
            copied.items = items.model_copy(update={"partial": False, **ranges})
    return copied


def _items(map_: str, earlier: Earlier, now: float) -> Iterator[tuple[str, NodeState]]:
    """Return the states of items that a map has which is taken over: outputs, and the first failed.

    Their numbers stay: what its items have spent there is spent here.
    """
    states = earlier.status.nodes
    items = states[map_].items
    if items is None:
        return
    for index in items.completed:
        path = item_path(map_, index)
        if (state := states.get(path)) is not None:
            yield (
                path,
                NodeState(
                    status=NodeStatus.COMPLETED,
                    output=state.output,
                    execution_id=state.execution_id,
                    cancelled_launches=state.last_execution_number,
                ),
            )
    for index in items.failed:
        if (path := item_path(map_, index)) in states:
            yield path, _copied(path, earlier, now)
