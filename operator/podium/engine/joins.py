"""Joins: what becomes of nodes once their upstream nodes have ended (semantics.md 3)."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from podium import expressions
from podium.api.reasons import NodeReason
from podium.api.run import NodeState, NodeStatus
from podium.engine.decisions import finish
from podium.engine.edge_states import EdgeState
from podium.engine.groups import end_members, is_waiting, open_members
from podium.engine.history import was_stopped
from podium.engine.holds import holds
from podium.engine.maps import end_item, open_map
from podium.engine.outcomes import cancel_pending, finish_without_execution
from podium.engine.plan import PlanEdge, PlanNode
from podium.engine.questions import DECISION_STEPS
from podium.engine.ready_queue import HOLD_SECONDS, ReadyQueue
from podium.engine.selection import is_unselected
from podium.engine.state import RunState
from podium.engine.trigger_rules import EdgeCounts, Verdict, verdict

__all__ = ["Joins"]


@dataclass(slots=True, eq=False, repr=False)
class _Join:
    """How the incoming edges of a node stand."""

    counts: list[int] = field(default_factory=lambda: [0] * len(EdgeState))
    """By `EdgeState`."""
    conditional: int = 0
    """Decided edges that have a condition."""


class Joins:
    """States of the edges of a run, and the decisions that follow from them."""

    def __init__(self, state: RunState, queue: ReadyQueue) -> None:
        self._run = state
        self._queue = queue
        self._edges: list[EdgeState | None] = []
        self._broken: dict[int, str] = {}
        self._joins: dict[str, _Join] = {}

    def load(self) -> Generator[None, None, None]:
        """Rebuild the states of all edges from the plan and the status, edge by edge."""
        plan = self._run.plan
        self._edges = [None] * len(plan.edges)
        self._broken = {}
        self._joins = {}
        for node in plan.nodes:
            self._joins[node] = _Join()
            yield
        for edge in plan.edges:
            self.decide_edge(edge)
            yield

    # Edges

    def decide_edge(self, edge: PlanEdge) -> bool:
        """Decide an edge whose source has ended, for a target that is not decided yet.

        Returns whether there is something new for its target.
        """
        nodes = self._run.status.nodes
        if self._run.status.started_at is None:  # its condition may ask when that was
            return False
        if nodes[edge.target].status not in (NodeStatus.PENDING, NodeStatus.WAITING):
            return False
        if self._edges[edge.index] is not None:
            return False
        source = nodes[edge.source]
        if not source.status.ended or self._may_still_run(edge.source, source):
            return False
        state = self._edge_state(edge, source)
        if state is None:
            return True  # its target shows what it waits for
        self._edges[edge.index] = state
        join = self._joins[edge.target]
        join.counts[state.value] += 1
        join.conditional += edge.condition is not None
        return True

    def _may_still_run(self, node: str, state: NodeState) -> bool:
        """Return whether a program of an ended node was stopped and is not known to be gone.

        What follows would run beside it. A machine that is lost holds it up for `HOLD_SECONDS`.
        """
        run = self._run
        if run.executions.holds_followers(node):
            if node not in run.executions.held_until:
                self._queue.hold(node, run.now + HOLD_SECONDS)
            return True
        if run.executions.is_any_stopping and (held := next(self._held_in(node), None)) is not None:
            self._hold_all(node, held)
            return True
        return not run.knows_what_runs and was_stopped(state)

    def _held_in(self, node: str) -> Iterator[str]:
        """Return members of a group, and items of maps, that were stopped, in their order."""
        executions = self._run.executions
        yield from executions.stopped_items(node)
        for each in self._run.plan.dag.within(node):
            if executions.holds_followers(each):
                yield each
            yield from executions.stopped_items(each)

    def _hold_all(self, node: str, first: str) -> None:
        """Wait for all members and items that were stopped; `first` is one of them."""
        executions = self._run.executions
        if first in executions.held_until:
            return  # as all of them are: each that is gone asks again
        for each in self._held_in(node):
            if each not in executions.held_until:
                self._queue.hold(each, self._run.now + HOLD_SECONDS)

    def decide_edges(self) -> None:
        """Decide all edges that can be decided."""
        for edge in self._run.plan.edges:
            self.decide_edge(edge)

    def undecide_edge(self, edge: PlanEdge) -> None:
        """Forget what an edge says: its source or its target is reset."""
        state = self._edges[edge.index]
        if state is not None:
            self._edges[edge.index] = None
            self._broken.pop(edge.index, None)
            join = self._joins[edge.target]
            join.counts[state.value] -= 1
            join.conditional -= edge.condition is not None

    def _edge_state(self, edge: PlanEdge, source: NodeState) -> EdgeState | None:
        """Return what an edge says; None: its condition is being judged."""
        run = self._run
        match source.status:
            case NodeStatus.COMPLETED:
                if edge.route is not None and (source.output or {}).get("route") != edge.route:
                    return EdgeState.INACTIVE
                if edge.condition is None:
                    return EdgeState.ACTIVE
                scope = run.edge_scope(edge)
                try:
                    held = holds(run, edge.target, edge.condition, scope, edge.index)
                except expressions.ExpressionError as error:
                    self._broken[edge.index] = (
                        f"condition of the edge {edge.source} → {edge.target}: {error}"
                    )
                    return EdgeState.BROKEN
                if held is None:
                    return None
                return EdgeState.ACTIVE if held else EdgeState.ABSENT
            case NodeStatus.FAILED:
                definition = run.plan.nodes[edge.source].definition
                is_allowed = edge.allow_failure or definition.allow_failure
                return EdgeState.ALLOWED if is_allowed else EdgeState.FAILED
            case NodeStatus.SKIPPED if is_unselected(source):
                return EdgeState.UNSELECTED
            case NodeStatus.SKIPPED if source.reason != NodeReason.UPSTREAM_FAILED:
                return EdgeState.INACTIVE
            case _:
                return EdgeState.FAILED

    # Decisions

    def propagate(self) -> None:
        """Decide whatever follows from the nodes that have ended, and from answers.

        What a step has no time for stays where it is: the next one must not look at all of it.
        """
        questions = self._run.questions
        ended, changed, spawned = self._run.ended, questions.changed, self._run.spawned
        while ended or changed or spawned:
            if spawned:
                self._open(spawned.popleft())
                continue
            if ended:
                self.decide(self._propagate_end(ended.popleft()))
                continue
            if not questions.may_go_on():
                return
            node = self._run.plan.nodes.get(changed.popleft())
            if node is not None:
                for index in node.incoming:
                    self.decide_edge(self._run.plan.edges[index])
                self.decide([node.id])
                if node.id in self._run.plan.for_each:
                    self._open(node.id)

    def _open(self, group: str) -> None:
        """Have the members of a group decided that has begun, or the items of a map start."""
        run = self._run
        if run.status.nodes[group].status is not NodeStatus.RUNNING:
            return
        if group in run.plan.for_each:
            open_map(run, self._queue, group)
        else:
            self.decide(open_members(run, self, group))
            self.finish_group(group)

    def finish_group(self, group: str) -> None:
        """Let a group that runs end once all of its members have."""
        run = self._run
        is_running = run.status.nodes[group].status is NodeStatus.RUNNING
        if is_running and not run.counters.open_members[group] and group not in run.judging:
            finish(run, self._queue, run.plan.nodes[group], None, run.now)

    def _propagate_end(self, node: str) -> list[str]:
        """Decide the outgoing edges of a node that has ended; return the targets to decide."""
        run = self._run
        if node in run.plan.compensations:
            may_run = run.rollback is None or self._may_still_run(node, run.status.nodes[node])
            return [] if run.rollback is None or may_run else run.rollback.ended(node)
        planned = run.plan.nodes[node]
        if planned.map:
            end_item(run, self._queue, planned)
            return []
        if run.counters.open_members.get(node):
            end_members(run, node)
        if planned.group:
            if run.status.nodes[planned.group].status.ended:
                run.ended.append(planned.group)  # what waited for the end of its members is decided
                return []
            self.finish_group(planned.group)
        if (
            run.fail_fast
            and run.status.nodes[node].status is NodeStatus.FAILED
            and not planned.definition.allow_failure
            and not planned.group
            and node not in run.plan.finally_nodes
        ):
            cancel_pending(run, NodeReason.FAIL_FAST, f"{node} failed and failFast is set")
            return []
        edges = run.plan.edges
        outgoing = [edges[index] for index in planned.outgoing]
        return [edge.target for edge in outgoing if self.decide_edge(edge)]

    def decide(self, nodes: Iterable[str]) -> None:
        """Decide nodes until nothing more follows; a loop, as chains may be thousands long."""
        run = self._run
        waiting = deque(nodes)
        while waiting:
            name = waiting.popleft()
            before = run.status.nodes[name].status
            if before not in (NodeStatus.PENDING, NodeStatus.WAITING):
                continue
            if name in run.plan.finally_nodes and not run.is_finishing:
                continue  # `begin_finally` has it decided
            if name in run.plan.compensations and not run.may_undo(name):
                continue  # the end of another one has it decided
            node = run.plan.nodes[name]
            if node.group and is_waiting(run, node):
                continue  # `_open` has it decided
            if not run.questions.may_go_on(DECISION_STEPS):
                run.questions.leave((name, *waiting))
                return
            status, reason, message = self._join(node)
            if status is NodeStatus.READY and node.condition is not None:
                status, reason, message = self._own_condition(node)
            if status is NodeStatus.WAITING:
                self._wait(name)
            elif status is NodeStatus.READY:
                run.transition(name, NodeStatus.READY)
                self._queue.add(name)
            else:
                finish_without_execution(run, name, status, reason, message)
                waiting.extend(self._propagate_end(name))

    def _wait(self, node: str) -> None:
        """Let a node wait for what is before it, or for a condition that is being judged."""
        run = self._run
        state = run.status.nodes[node]
        reason, message = "", ""
        if run.questions.is_pending(node):
            reason, message = NodeReason.JUDGING.value, "a condition is being evaluated"
        if state.status is not NodeStatus.WAITING:
            run.transition(node, NodeStatus.WAITING, reason, message)
        elif state.reason != reason:
            run.touch(node)
            state.reason, state.message = reason, message

    def _own_condition(self, node: PlanNode) -> tuple[NodeStatus, str, str]:
        assert node.condition is not None  # noqa: S101 - for the type checker
        try:
            held = holds(self._run, node.id, node.condition, self._run.node_scope(node.id))
        except expressions.ExpressionError as error:
            return NodeStatus.FAILED, NodeReason.CONDITION_ERROR, f"condition: {error}"
        if held is None:
            return NodeStatus.WAITING, "", ""
        if held:
            return NodeStatus.READY, "", ""
        return NodeStatus.SKIPPED, NodeReason.CONDITION_FALSE, node.condition.source

    def _join(self, node: PlanNode) -> tuple[NodeStatus, str, str]:
        """Return what the incoming edges make of a node."""
        if not node.incoming:
            return NodeStatus.READY, "", ""
        join = self._joins[node.id]
        active, inactive, failed, broken, allowed, absent, unselected = join.counts
        if unselected == len(node.incoming):
            return NodeStatus.READY, "", ""
        edges = EdgeCounts(
            active + allowed,
            inactive + absent,
            failed,
            broken,
            allowed,
            absent,
            undecided=len(node.incoming) - sum(join.counts),
            undecided_conditional=node.conditional - join.conditional,
        )
        match decided := verdict(node.rule, edges):
            case Verdict.START:
                return NodeStatus.READY, "", ""
            case Verdict.WAIT:
                return NodeStatus.WAITING, "", ""
            case Verdict.CONDITION_ERROR:
                message = next(self._broken[e] for e in node.incoming if e in self._broken)
                return NodeStatus.FAILED, decided.value, message
            case Verdict.UPSTREAM_FAILED:
                failed_edges = self._sources(node, EdgeState.FAILED)
                message = "; ".join(self._how_it_failed(name) for name in failed_edges)
                return NodeStatus.SKIPPED, decided.value, message
            case Verdict.NO_FAILED_EDGE:
                return NodeStatus.SKIPPED, decided.value, "nothing before it failed"
            case _:
                names = ", ".join(self._sources(node, EdgeState.INACTIVE, EdgeState.ABSENT))
                return NodeStatus.SKIPPED, decided.value, f"inactive edge from {names}"

    def _sources(self, node: PlanNode, *states: EdgeState) -> list[str]:
        """Return the sources of the first three incoming edges in one of these states."""
        edges = self._run.plan.edges
        sources = (edges[index].source for index in node.incoming if self._edges[index] in states)
        return list(islice(sources, 3))

    def _how_it_failed(self, node: str) -> str:
        match self._run.status.nodes[node].status:
            case NodeStatus.FAILED:
                return f"{node} failed"
            case NodeStatus.CANCELLED:
                return f"{node} was cancelled"
            case _:
                return f"{node} was skipped after a failure"
