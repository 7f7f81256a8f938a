"""Rollback: completed nodes are undone by their compensations (semantics.md 4, "Rollback").

Compensations are nodes of the plan without edges, which are Skipped until one is needed. It may
start when those of all descendants of its node have ended: what is undone may rest on what its
node did. Loaded only where a definition has compensations.
"""

from collections import deque
from collections.abc import Callable, Iterable

from podium.api.names import compensation_path
from podium.api.reasons import EventReason, NodeReason, RunReason
from podium.api.run import ConditionStatus, NodeStatus, RunPhase
from podium.engine.conditions import set_condition
from podium.engine.groups import reset
from podium.engine.history import was_stopped
from podium.engine.joins import Joins
from podium.engine.model import Control, EventType
from podium.engine.plan import Plan
from podium.engine.ready_queue import HOLD_SECONDS, ReadyQueue
from podium.engine.run_outcome import ending_of
from podium.engine.state import RunState
from podium.engine.undone import was_undone

__all__ = [
    "Rollback",
    "begin_rollback",
    "conclude_rollback",
    "forget_rollback",
    "is_due",
    "restore_rollback",
]

CONDITION = "RolledBack"
_SHOWN = 5
_LAST = 1 << 53
"""More than the context versions of a run."""

_Place = str | tuple[str]


class Rollback:
    """Which compensations of a run may start: derived from the plan and the status.

    Nodes of the graph are *passed* from its end on: one that has no compensation to run when all
    after it are passed, any other one when its compensation has ended. What is after the members
    of a group is a place of its own, `(group,)`.
    """

    def __init__(self, run: RunState) -> None:
        self._run = run
        plan, states = run.plan, run.status.nodes
        self.free: set[str] = set()
        """Compensations that may start."""
        self.stopped = [name for name in plan.compensations if was_stopped(states[name])]
        """Compensations that ended before this was made, and whose programs may still run."""
        self._needed = {
            node for name, node in plan.compensations.items() if not states[name].status.ended
        }
        self._needed.update(plan.compensations[name] for name in self.stopped)
        self._left: dict[_Place, int] = {}
        """How much after each place is not passed yet."""
        self._before: dict[_Place, list[_Place]] = {}
        """What waits for each place."""
        for name in plan.nodes:
            if name not in plan.compensations and name not in plan.finally_nodes:
                self._add(plan, name)
        self._pass([place for place, left in self._left.items() if not left])

    def _add(self, plan: Plan, name: str) -> None:
        node = plan.nodes[name]
        after: list[_Place] = [plan.edges[index].target for index in node.outgoing]
        if node.group:
            after.append((node.group,))
        if name in plan.members:
            self._wait((name,), after)
            after = [*after, *plan.members[name]]
        self._wait(name, after)

    def _wait(self, place: _Place, after: list[_Place]) -> None:
        self._left[place] = len(after)
        for each in after:
            self._before.setdefault(each, []).append(place)

    def _pass(self, places: Iterable[_Place]) -> list[str]:
        """Go on from places after which nothing is left; return compensations that may start."""
        found = []
        waiting = deque(places)
        while waiting:
            place = waiting.popleft()
            if isinstance(place, str) and place in self._needed:
                found.append(compensation_path(place))
                continue
            for before in self._before.get(place, ()):
                self._left[before] -= 1
                if not self._left[before]:
                    waiting.append(before)
        self.free.update(found)
        return found

    def ended(self, name: str) -> list[str]:
        """Note that a compensation has ended; return those that may start now."""
        _mark(self._run, name)
        node = self._run.plan.compensations[name]
        if node not in self._needed:
            return []
        self._needed.discard(node)
        return self._pass([node])

    def place_of(self, name: str) -> int:
        """Return the place of a compensation: what completed last comes first."""
        node = self._run.plan.compensations.get(name, name)
        return _LAST - (self._run.status.nodes[node].context_version or 0)


def is_due(run: RunState, control: Control) -> bool:
    """Return whether a rollback has to begin, now that all nodes but those of `finally` ended."""
    if control.terminate or run.counters.begun_compensations or run.status.phase.ended:
        return False
    if run.counters.open != run.counters.open_finally or run.is_finishing or not _to_undo(run):
        return False
    return run.plan.spec.rollback.covers(ending_of(run)["phase"])


def _to_undo(run: RunState) -> list[str]:
    """Return the compensations of the nodes that completed."""
    states = run.status.nodes
    return [
        name
        for name, node in run.plan.compensations.items()
        if states[node].status is NodeStatus.COMPLETED and states[node].copied_from is None
    ]


def begin_rollback(run: RunState, queue: ReadyQueue, joins: Joins) -> bool:
    """Begin a rollback that is due, once nothing runs any more of what was stopped.

    Returns whether it began. It is bounded by the time-outs of the compensations alone.
    """
    awaited = run.executions.awaited()
    for node in awaited:
        if node not in run.executions.held_until:
            queue.hold(node, run.now + HOLD_SECONDS)
    if awaited:
        return False
    status = run.status
    run.run_changed = True
    run.ending = ending_of(run)
    status.deadline = status.remaining_seconds = None
    names = _to_undo(run)
    for name in names:
        run.transition(name, NodeStatus.PENDING)
        run.status.nodes[name].completed_at = None
    run.rollback = Rollback(run)
    status.phase = RunPhase.ROLLING_BACK
    unknown = ConditionStatus.UNKNOWN
    set_condition(status, run.now, "Succeeded", unknown, RunReason.ROLLING_BACK)
    set_condition(status, run.now, CONDITION, unknown, RunReason.ROLLING_BACK)
    count = "1 node" if len(names) == 1 else f"{len(names)} nodes"
    message = f"all nodes have ended ({run.ending['phase']}): {count} to undo"
    run.emit(EventType.NORMAL, EventReason.RUN_ROLLING_BACK, message)
    joins.decide(names)
    joins.propagate()
    return True


def _mark(run: RunState, name: str) -> None:
    """Mark a node by the end of its compensation."""
    node = run.plan.compensations[name]
    ended, state = run.status.nodes[name], run.status.nodes[node]
    if state.status is not NodeStatus.COMPLETED or not was_undone(ended):
        return
    reason, message = NodeReason.COMPENSATED, f"undone by {ended.execution_id}"
    if ended.status is not NodeStatus.COMPLETED:
        reason, message = NodeReason.COMPENSATION_FAILED, f"{ended.execution_id}: {ended.reason}"
    if state.reason != reason:
        run.touch(node)
        state.reason, state.message = reason.value, message


def conclude_rollback(run: RunState) -> None:
    """Say how a rollback went, once all of its compensations have ended."""
    if run.rollback is None or run.counters.open_compensations:
        return
    run.rollback = None
    status, states = run.status, run.status.nodes
    for name in run.plan.compensations:
        _mark(run, name)
    failed = [
        f"{name} ({states[name].reason})"
        for name in run.plan.compensations
        if states[name].status in (NodeStatus.FAILED, NodeStatus.CANCELLED)
    ]
    run.run_changed = True
    if status.phase is RunPhase.ROLLING_BACK:
        status.phase = RunPhase.RUNNING
    if failed:
        more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        message = f"not undone: {', '.join(failed[:_SHOWN])}{more}"
        reason = NodeReason.COMPENSATION_FAILED
        false = ConditionStatus.FALSE
        set_condition(status, run.now, CONDITION, false, reason.value, message)
        run.emit(EventType.WARNING, EventReason.RUN_ROLLED_BACK, message)
    else:
        set_condition(status, run.now, CONDITION, ConditionStatus.TRUE, RunReason.COMPLETED)
        message = "what completed nodes did was undone"
        run.emit(EventType.NORMAL, EventReason.RUN_ROLLED_BACK, message)


def forget_rollback(
    run: RunState, joins: Joins, reason: str, abandon: Callable[[str], None]
) -> None:
    """Take compensations back to their beginning: the nodes that they undid run again."""
    states = run.status.nodes
    names = [
        name for name in run.plan.compensations if states[name].status is not NodeStatus.SKIPPED
    ]
    reset(run, joins, names, reason, abandon)
    for name in names:
        run.transition(name, NodeStatus.SKIPPED, NodeReason.NOT_NEEDED)
    run.rollback = None


def restore_rollback(run: RunState) -> None:
    """Derive what a rollback needs from the status again."""
    run.rollback = None
    for name in run.plan.compensations:
        _mark(run, name)
    known = (each for each in run.status.conditions if each.type == CONDITION)
    if any(each.status is ConditionStatus.UNKNOWN for each in known):
        run.rollback = Rollback(run)
        run.ending = ending_of(run)
