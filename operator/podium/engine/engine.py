"""Engine: one run as a state machine.

Observations are level-triggered: they say what is, not what changed, and may be lost, doubled,
late or out of order. What is derived (counters of joins, queues) is rebuilt from the status, so a
crash loses nothing. The work of a step is in proportion to what it changes: a node that ends costs
its outgoing edges, whatever the size of the run.

An execution is known by its id, which is counted through the run: the same decision made again
after a crash launches the same id, and the shell starts an id once.
"""

import heapq
from collections import deque
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from podium import contracts, executors, expressions
from podium.api.base import format_duration
from podium.api.names import execution_id
from podium.api.run import (
    CONTEXT_EDITS,
    HANDLED_REQUESTS,
    ConditionStatus,
    ContextEdit,
    ExecutionRecord,
    NodeError,
    NodeState,
    NodeStatus,
    RunPhase,
    WorkflowRunStatus,
)
from podium.api.workflow import TriggerRule
from podium.engine.conditions import set_condition
from podium.engine.context import InputProblem, edge_scope, node_input, node_scope
from podium.engine.history import HISTORY, VersionGoneError, edited_context, record_at
from podium.engine.model import (
    Action,
    AttemptPhase,
    Control,
    Emit,
    EventType,
    Launch,
    Observation,
    Request,
    RerunRequest,
    RestoreRequest,
    RunInfo,
    Stop,
    WakeAt,
)
from podium.engine.plan import Plan, PlanEdge, PlanNode
from podium.engine.start import check_context
from podium.engine.transitions import MOVES

__all__ = ["Changes", "Engine", "recorded_end"]

MESSAGE_CHARACTERS = 1000
RECORD_OUTPUT_BYTES = 16_384
"""Bytes of outputs that one node's history keeps; beyond it the oldest records lose theirs."""
UPSTREAM_FAILED = "UpstreamFailed"
RUN_CANCELLED = "RunCancelled"
RUN_TIMEOUT = "RunTimeout"

_STOPPED = frozenset({"Timeout", "StartTimeout", "TooManyDisruptions"})
"""Reasons of failures whose program did not end by itself."""

_LIVE = (AttemptPhase.LAUNCHED, AttemptPhase.WAITING, AttemptPhase.RUNNING)


class _EdgeState(Enum):
    """What an edge says once its source has ended. The values are positions in a `_Join`."""

    ACTIVE = 0
    INACTIVE = 1
    FAILED = 2
    BROKEN = 3
    """Its condition could not be evaluated."""


@dataclass(slots=True)
class _Join:
    """How the incoming edges of a node stand."""

    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """By `_EdgeState`."""
    conditional: int = 0
    """Decided edges that have a condition."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a shell has to write: nodes whose state changed, and whether run fields did."""

    nodes: frozenset[str]
    run: bool

    def __bool__(self) -> bool:
        return bool(self.nodes) or self.run


class Engine:
    """A run: its plan, its status, and what is derived from both.

    `context` is context version 0 (`podium.engine.start.initial_context`). `status` is changed in
    place. The first step of an engine made from a status that was written before must be told of
    everything that is alive: what was stopped and has not ended keeps its node from starting.
    """

    def __init__(
        self, plan: Plan, info: RunInfo, context: Mapping[str, Any], status: WorkflowRunStatus
    ) -> None:
        self.plan = plan
        self.info = info
        self.status = status
        self.initial_context = dict(context)
        self._now = 0.0
        self._actions: list[Action] = []
        self._changed: set[str] = set()
        self._run_changed = False
        self._stopping: dict[str, set[str]] = {}
        """Executions that were told to stop and may still run."""
        self._disrupted: set[str] = set()
        """Attempts (Pods, processes) whose disruption was seen."""
        self._launching: dict[str, str] = {}
        """Executions whose Launch was given out and not answered yet."""
        self._rebuilt = True
        """Whether this engine has not stepped yet: what the status says is decided first."""
        self._restarting: set[str] = set()
        """Running nodes whose Launch after a disruption was not answered yet."""
        self._load()
        self._resume()

    # What a shell calls

    def step(
        self,
        now: float,
        *,
        observations: Iterable[Observation] = (),
        requests: Iterable[Request] = (),
        control: Control | None = None,
    ) -> list[Action]:
        """Take in what was seen and asked, and return what is to be done.

        `now` is in seconds since 1970. Requests that stay unhandled (the run is suspended) must
        be given again; those that were handled are in `status.handled_requests`.
        """
        control = control or Control()
        self._now = round(now, 3)
        self._actions = []
        if self._rebuilt:
            # A node may be decidable although the crash came before it was decided.
            self._rebuilt = False
            if self.status.started_at is not None:
                self._decide(list(self.plan.nodes))
        for request in requests:
            self._request(request, control)
        if self.status.started_at is None and (control.cancel or not control.suspend):
            self._begin()
        unexpected = [seen for seen in observations if not self._observe(seen)]
        if control.cancel:
            self._halt(RUN_CANCELLED, "the run was cancelled")
        self._expire()
        unknown = [seen for seen in unexpected if not self._stop_former(seen)]
        if not control.suspend and not self.status.phase.ended:
            self._launch()
        for seen in unknown:
            self._stop_unknown(seen)
        self._finish(control)
        if (wake := self._next_wake()) is not None:
            self._actions.append(WakeAt(wake))
        return self._actions

    @property
    def changed(self) -> bool:
        """Whether there is something to write."""
        return self._run_changed or bool(self._changed)

    def expects(self, node: str, execution: str) -> bool:
        """Tell whether an execution is due or runs, as far as is known: it may be started."""
        state = self.status.nodes.get(node)
        if state is None or execution in self._stopping.get(node, ()):
            return False
        runs = state.status is NodeStatus.RUNNING and state.execution_id == execution
        return runs or self._launching.get(node) == execution

    def counts(self, node: str, execution: str) -> bool:
        """Tell whether the status knows of an execution, so that its end counts, or has counted.

        No: it was launched, and that was not taken in yet, perhaps because a predecessor crashed
        first. The launch is given out again, and finds it.
        """
        state, number = self.status.nodes.get(node), _number(node, execution)
        return state is None or number is None or number <= state.execution_count

    def take_changes(self) -> Changes:
        """Return what changed since the last call, with the run's counters brought up to date."""
        changes = Changes(frozenset(self._changed), self._run_changed or bool(self._changed))
        if self._changed:
            self.status.progress = f"{len(self.status.nodes) - self._open}/{len(self.plan.nodes)}"
            self.status.current = self._current()
        self._changed = set()
        self._run_changed = False
        return changes

    # Derived state

    def _load(self) -> None:
        """Rebuild everything that is derived from plan and status."""
        self._context = edited_context(self.initial_context, self.status.context_edits)
        self._edges: list[_EdgeState | None] = [None] * len(self.plan.edges)
        self._broken: dict[int, str] = {}
        self._joins = {node: _Join() for node in self.plan.nodes}
        self._queue: list[tuple[int, str]] = []
        self._timers: list[tuple[float, str]] = []
        self._running: set[str] = set()
        self._bad: set[str] = set()
        self._cancelled: set[str] = set()
        self._outputs: dict[str, Any] = {}
        """Of the nodes that are Completed."""
        self._open = 0
        for node in self.plan.nodes.values():
            state = self.status.nodes.get(node.id)
            if state is None:
                state = NodeState(status=NodeStatus.PENDING, created_at=self._now or None)
                self.status.nodes[node.id] = state
            self._count(node.id, state, +1)
        for edge in self.plan.edges:
            self._decide_edge(edge)
        self._rebuilt = True

    def _resume(self, leave: Container[str] = ()) -> None:
        """Queue what waits for its launch, and set the timers; `leave` is about to be reset."""
        for name, state in self.status.nodes.items():
            if name in leave:
                continue
            if state.status is NodeStatus.READY:
                self._enqueue(name, state)
            elif state.status is NodeStatus.RUNNING:
                self._set_timer(name, state)
        if self.status.deadline is not None:
            heapq.heappush(self._timers, (self.status.deadline, ""))

    def _count(self, node: str, state: NodeState, by: int) -> None:
        """Add or take away one node in the counters."""
        if not state.status.ended:
            self._open += by
        if state.status is NodeStatus.RUNNING:
            _add(self._running, node, by)
        elif state.status is NodeStatus.COMPLETED:
            if by > 0:
                self._outputs[node] = state.output
            else:
                del self._outputs[node]
        elif (
            state.status is NodeStatus.FAILED and not self.plan.nodes[node].definition.allow_failure
        ) or (state.status is NodeStatus.SKIPPED and state.reason == UPSTREAM_FAILED):
            _add(self._bad, node, by)
        elif state.status is NodeStatus.CANCELLED:
            _add(self._cancelled, node, by)

    def _current(self) -> str:
        first = heapq.nsmallest(3, self._running, key=lambda node: self.plan.nodes[node].index)
        more = len(self._running) - len(first)
        return ", ".join(first) + (f" +{more}" if more else "")

    def _touch(self, node: str) -> NodeState:
        self._changed.add(node)
        state = self.status.nodes[node]
        state.updated_at = self._now
        return state

    def _move(self, node: str, status: NodeStatus, reason: str = "", message: str = "") -> None:
        """Move a node to another state. The one place where a node's status is set.

        One that completes has its output already.
        """
        state = self._touch(node)
        if status not in MOVES[state.status]:
            raise AssertionError(f"{node}: {state.status.value} → {status.value} is no move")
        self._count(node, state, -1)
        state.status = status
        state.reason = reason
        state.message = _short(message)
        self._count(node, state, +1)
        if status is not NodeStatus.READY:
            state.next_attempt_at = None
        if status.ended:
            state.deadline = None
            self._launching.pop(node, None)
            self._restarting.discard(node)

    def _emit(self, kind: EventType, reason: str, message: str, node: str | None = None) -> None:
        self._actions.append(Emit(kind, reason, _short(message), node))

    # The run

    def _begin(self) -> None:
        self._run_changed = True
        status = self.status
        status.phase = RunPhase.RUNNING
        status.started_at = self._now
        self._set_run_deadline()
        set_condition(status, self._now, "Succeeded", ConditionStatus.UNKNOWN, "Running")
        self._emit(EventType.NORMAL, "RunStarted", f"{len(self.plan.nodes)} nodes")
        self._decide(list(self.plan.nodes))

    def _set_run_deadline(self) -> None:
        if self.plan.spec.timeout_seconds is not None:
            self.status.deadline = round(self._now + self.plan.spec.timeout_seconds, 3)
            heapq.heappush(self._timers, (self.status.deadline, ""))

    def _finish(self, control: Control) -> None:
        """Set the run's phase by its nodes."""
        status = self.status
        if status.phase.ended:
            return
        if self._open:
            phase = RunPhase.PAUSED if control.suspend else RunPhase.RUNNING
            if status.phase is not phase:
                self._run_changed = True
                status.phase = phase
                if phase is RunPhase.PAUSED:
                    set_condition(
                        status, self._now, "Succeeded", ConditionStatus.UNKNOWN, "Suspended"
                    )
                    self._emit(EventType.NORMAL, "RunPaused", "nothing new is started")
                else:
                    set_condition(
                        status, self._now, "Succeeded", ConditionStatus.UNKNOWN, "Running"
                    )
            return
        self._run_changed = True
        status.completed_at = self._now
        status.deadline = None
        status.duration = format_duration(self._now - (status.started_at or self._now))
        phase, reason, message = self._outcome()
        status.phase = phase
        value = ConditionStatus.TRUE if phase is RunPhase.SUCCEEDED else ConditionStatus.FALSE
        set_condition(status, self._now, "Succeeded", value, reason, message)
        kind = EventType.NORMAL if phase is RunPhase.SUCCEEDED else EventType.WARNING
        self._emit(kind, f"Run{phase.value}", message or f"in {status.duration}")

    def _outcome(self) -> tuple[RunPhase, str, str]:
        reasons = {self.status.nodes[node].reason for node in self._cancelled}
        if RUN_CANCELLED in reasons:
            return RunPhase.CANCELLED, "Cancelled", "the run was cancelled"
        if RUN_TIMEOUT in reasons:
            seconds = self.plan.spec.timeout_seconds
            return RunPhase.FAILED, "Timeout", f"the run took longer than {seconds:g} s"
        if self._bad:
            order = sorted(self._bad, key=lambda node: self.plan.nodes[node].index)
            failed = [n for n in order if self.status.nodes[n].status is NodeStatus.FAILED]
            shown = ", ".join((failed or order)[:5])
            more = len(failed or order) - 5
            return (
                RunPhase.FAILED,
                "NodeFailed",
                f"failed: {shown}" + (f" and {more} more" if more > 0 else ""),
            )
        if self._cancelled:
            return RunPhase.CANCELLED, "Cancelled", "nodes were cancelled"
        return RunPhase.SUCCEEDED, "Completed", ""

    def _halt(self, reason: str, message: str) -> None:
        """Cancel everything that has not ended."""
        if self.status.phase.ended or not self._open:
            return
        for node, state in self.status.nodes.items():
            if not state.status.ended:
                self._stop_current(node, state, reason)
                if state.status is NodeStatus.RUNNING:
                    state.completed_at = self._now
                self._move(node, NodeStatus.CANCELLED, reason, message)

    def _stop_current(self, node: str, state: NodeState, reason: str) -> None:
        """Stop the execution of a node that runs or is being launched, if there is one."""
        execution = self._launching.pop(node, None)
        self._restarting.discard(node)
        if state.status is NodeStatus.RUNNING:
            execution = state.execution_id
        if execution is not None:
            self._stop(node, execution, reason)

    def _stop(self, node: str, execution: str, reason: str) -> None:
        self._stopping.setdefault(node, set()).add(execution)
        self._actions.append(Stop(node, execution, reason))

    # Joins

    def _decide_edge(self, edge: PlanEdge) -> bool:
        """Decide an edge whose source has ended, for a target that is not decided yet."""
        target = self.status.nodes[edge.target].status
        if target not in (NodeStatus.PENDING, NodeStatus.WAITING):
            return False
        if self._edges[edge.index] is not None:
            return False
        source = self.status.nodes[edge.source]
        if not source.status.ended:
            return False
        state = self._edge_state(edge, source)
        self._edges[edge.index] = state
        join = self._joins[edge.target]
        join.counts[state.value] += 1
        join.conditional += edge.condition is not None
        return True

    def _edge_state(self, edge: PlanEdge, source: NodeState) -> _EdgeState:
        """Return what an edge says, by the table of semantics.md 3."""
        match source.status:
            case NodeStatus.COMPLETED:
                if edge.condition is None:
                    return _EdgeState.ACTIVE
                scope = edge_scope(self.plan, self.info, edge, self.status.nodes, self._context)
                try:
                    holds = expressions.evaluate_condition(edge.condition, scope)
                except expressions.ExpressionError as error:
                    self._broken[edge.index] = (
                        f"condition of the edge {edge.source} → {edge.target}: {error}"
                    )
                    return _EdgeState.BROKEN
                return _EdgeState.ACTIVE if holds else _EdgeState.INACTIVE
            case NodeStatus.FAILED:
                allowed = self.plan.nodes[edge.source].definition.allow_failure
                return _EdgeState.ACTIVE if allowed else _EdgeState.FAILED
            case NodeStatus.SKIPPED if source.reason != UPSTREAM_FAILED:
                return _EdgeState.INACTIVE
            case _:
                return _EdgeState.FAILED

    def _undecide_edge(self, edge: PlanEdge) -> None:
        state = self._edges[edge.index]
        if state is not None:
            self._edges[edge.index] = None
            self._broken.pop(edge.index, None)
            join = self._joins[edge.target]
            join.counts[state.value] -= 1
            join.conditional -= edge.condition is not None

    def _settled(self, node: str) -> None:
        """Carry on after a node has ended: its edges, then whatever they decide."""
        state = self.status.nodes[node]
        if (
            self.info.fail_fast
            and state.status is NodeStatus.FAILED
            and not self.plan.nodes[node].definition.allow_failure
        ):
            self._halt("FailFast", f"{node} failed and failFast is set")
            return
        targets = []
        for index in self.plan.nodes[node].outgoing:
            edge = self.plan.edges[index]
            if self._decide_edge(edge):
                targets.append(edge.target)
        self._decide(targets)

    def _decide(self, nodes: Iterable[str]) -> None:
        """Decide joins until nothing more follows; a loop, as chains may be thousands long."""
        waiting = deque(nodes)
        while waiting:
            name = waiting.popleft()
            state = self.status.nodes[name]
            if state.status not in (NodeStatus.PENDING, NodeStatus.WAITING):
                continue
            node = self.plan.nodes[name]
            status, reason, message = self._join(node)
            if status is NodeStatus.READY and node.condition is not None:
                status, reason, message = self._own_condition(node)
            if status is NodeStatus.WAITING:
                if state.status is not NodeStatus.WAITING:
                    self._move(name, NodeStatus.WAITING)
            elif status is NodeStatus.READY:
                self._move(name, NodeStatus.READY)
                self._enqueue(name, state)
            else:
                self._end_undone(name, status, reason, message)
                if self.info.fail_fast and status is NodeStatus.FAILED:
                    self._settled(name)
                    continue
                for index in node.outgoing:
                    edge = self.plan.edges[index]
                    if self._decide_edge(edge):
                        waiting.append(edge.target)

    def _end_undone(self, name: str, status: NodeStatus, reason: str, message: str) -> None:
        """End a node that never started: Skipped or Failed."""
        self._move(name, status, reason, message)
        state = self.status.nodes[name]
        state.completed_at = self._now
        if status is NodeStatus.FAILED:
            state.error = NodeError(reason=reason, message=_short(message))
            self._emit(EventType.WARNING, "NodeFailed", f"{reason}: {message}", name)
        else:
            self._emit(EventType.NORMAL, "NodeSkipped", f"{reason}: {message}", name)

    def _join(self, node: PlanNode) -> tuple[NodeStatus, str, str]:
        """Return what the incoming edges make of a node, by the table of semantics.md 3.

        The answer must not depend on the order in which sources end: a failed edge skips a node
        at once, but not while an undecided edge's condition could still break (which fails it).
        """
        join = self._joins[node.id]
        active, inactive, failed, broken = join.counts
        undecided = len(node.incoming) - active - inactive - failed - broken
        rule = node.rule
        if rule in (TriggerRule.NONE_FAILED, TriggerRule.ALL_COMPLETED):
            if failed or broken:
                if join.conditional < node.conditional:
                    return NodeStatus.WAITING, "", ""
                return self._broken_or_failed(node, broken)
            if undecided:
                return NodeStatus.WAITING, "", ""
            if rule is TriggerRule.ALL_COMPLETED and inactive:
                return self._skip(node, "EdgeInactive", _EdgeState.INACTIVE)
            if active or not node.incoming:
                return NodeStatus.READY, "", ""
            return self._skip(node, "NoActiveEdge", _EdgeState.INACTIVE)
        if rule is TriggerRule.ANY_COMPLETED:
            if active or not node.incoming:
                return NodeStatus.READY, "", ""
            if undecided:
                return NodeStatus.WAITING, "", ""
            if failed or broken:
                return self._broken_or_failed(node, broken)
            return self._skip(node, "NoActiveEdge", _EdgeState.INACTIVE)
        if undecided:
            return NodeStatus.WAITING, "", ""
        if broken:
            return self._broken_or_failed(node, broken)
        return NodeStatus.READY, "", ""

    def _broken_or_failed(self, node: PlanNode, broken: int) -> tuple[NodeStatus, str, str]:
        if broken:
            message = next(self._broken[e] for e in node.incoming if e in self._broken)
            return NodeStatus.FAILED, "ConditionError", message
        return self._skip(node, UPSTREAM_FAILED, _EdgeState.FAILED)

    def _skip(self, node: PlanNode, reason: str, state: _EdgeState) -> tuple[NodeStatus, str, str]:
        sources = [self.plan.edges[e].source for e in node.incoming if self._edges[e] is state]
        names = ", ".join(sources[:3])
        if state is _EdgeState.FAILED:
            return NodeStatus.SKIPPED, reason, f"{names} failed or was cancelled"
        return NodeStatus.SKIPPED, reason, f"inactive edge from {names}"

    def _own_condition(self, node: PlanNode) -> tuple[NodeStatus, str, str]:
        assert node.condition is not None  # noqa: S101 - for the type checker
        try:
            holds = expressions.evaluate_condition(node.condition, self._node_scope(node.id))
        except expressions.ExpressionError as error:
            return NodeStatus.FAILED, "ConditionError", f"condition: {error}"
        if holds:
            return NodeStatus.READY, "", ""
        return NodeStatus.SKIPPED, "ConditionFalse", node.condition.source

    def _node_scope(self, node: str) -> Mapping[str, Any]:
        execution = self._next_execution(node)
        return node_scope(self.plan, self.info, node, execution, self.status.nodes, self._context)

    # Launching

    def _next_execution(self, node: str) -> str:
        state = self.status.nodes[node]
        if state.status is NodeStatus.RUNNING and state.execution_id is not None:
            return state.execution_id
        return execution_id(node, state.execution_count + 1)

    def _enqueue(self, node: str, state: NodeState) -> None:
        """Queue a Ready node, or a Running one that was disrupted, for its launch."""
        if state.next_attempt_at is not None and state.next_attempt_at > self._now:
            heapq.heappush(self._timers, (state.next_attempt_at, node))
        elif node not in self._stopping:
            # What was disrupted goes first: it has its place among the running already.
            first = state.status is NodeStatus.RUNNING
            heapq.heappush(self._queue, (-1 if first else self.plan.nodes[node].index, node))

    def _launch(self) -> None:
        """Give out launches while there is room. The order is the definition's."""
        while self._queue:
            name = self._queue[0][1]
            state = self.status.nodes[name]
            restart = state.status is NodeStatus.RUNNING
            busy = len(self._running) + len(self._launching)
            if not restart and busy >= self.info.max_parallel:
                return
            heapq.heappop(self._queue)
            if name in self._launching or name in self._restarting or name in self._stopping:
                continue
            if state.next_attempt_at is not None and state.next_attempt_at > self._now:
                continue
            awaits_restart = restart and state.next_attempt_at is not None
            if state.status is NodeStatus.READY or awaits_restart:
                self._launch_node(self.plan.nodes[name], state)

    def _launch_node(self, node: PlanNode, state: NodeState) -> None:
        execution = self._next_execution(node.id)
        try:
            given = node_input(
                self.plan,
                self.info,
                node,
                execution,
                self.status.nodes,
                self._outputs,
                self._context,
            )
        except InputProblem as problem:
            self._fail_unstarted(node.id, "InputContract", str(problem))
            return
        try:
            config = self._config(node)
        except expressions.ExpressionError as error:
            self._fail_unstarted(node.id, "ConditionError", f"config: {error}")
            return
        warnings = [f"requiredFields: {waived}" for waived in given.waived]
        if self.info.recorded and node.definition.executor in executors.PERSONA_EXECUTORS:
            warnings.append("answers were recorded: no model was asked")
        if warnings != state.warnings:
            self._touch(node.id).warnings = warnings
        if state.status is NodeStatus.RUNNING:
            self._restarting.add(node.id)
        else:
            self._launching[node.id] = execution
        self._actions.append(Launch(node.id, execution, state.disruptions, config, given.document))

    def _fail_unstarted(self, node: str, reason: str, message: str) -> None:
        state = self.status.nodes[node]
        if state.status is NodeStatus.RUNNING:  # a restart whose input no longer meets its contract
            self._fail(node, self._now, reason, message, retryable=False)
            return
        self._end_undone(node, NodeStatus.FAILED, reason, message)
        self._settled(node)

    def _config(self, node: PlanNode) -> Mapping[str, Any]:
        """Return the node's config with its templates filled in, once, in the parsed tree."""
        executor = executors.get(node.definition.executor or "")
        if executor is None:
            return node.definition.config
        expandable = executor.expandable(node.definition.config)
        scope = self._node_scope(node.id)
        return {**node.definition.config, **_expand(dict(expandable), scope)}

    # Observations

    def _observe(self, seen: Observation) -> bool:
        """Take in one observation; False: it is of an execution that the run does not expect."""
        stopping = self._stopping.get(seen.node, ())
        if seen.phase is AttemptPhase.GONE or (
            seen.execution_id in stopping and seen.phase not in _LIVE
        ):
            self._gone(seen.node, seen.execution_id)
            return True
        if seen.execution_id in stopping:
            return True
        state = self.status.nodes.get(seen.node)
        if state is None or seen.node not in self.plan.nodes:
            return seen.phase not in _LIVE
        if not self.expects(seen.node, seen.execution_id):
            return seen.phase not in _LIVE
        if seen.attempt and seen.attempt in self._disrupted:
            return True
        if seen.phase is AttemptPhase.REFUSED:
            self._refused(seen, state)
            return True
        self._launched(seen, state)
        at = self._now if seen.at is None else min(seen.at, self._now)
        match seen.phase:
            case AttemptPhase.WAITING:
                self._waiting(seen, state)
            case AttemptPhase.RUNNING:
                self._started(seen, state)
            case AttemptPhase.SUCCEEDED:
                self._started(seen, state)
                self._succeeded(seen, state, at)
            case AttemptPhase.FAILED:
                if seen.started_at is not None:
                    self._started(seen, state)
                details = dict(seen.details)
                if seen.exit_code is not None:
                    details["exitCode"] = seen.exit_code
                self._fail(
                    seen.node,
                    at,
                    seen.reason or "Error",
                    seen.message,
                    retryable=seen.retryable,
                    details=details,
                )
            case AttemptPhase.DISRUPTED:
                self._disrupt(seen, state)
            case _:
                pass
        return True

    def _gone(self, node: str, execution: str) -> None:
        stopping = self._stopping.get(node)
        if stopping is None:
            return
        stopping.discard(execution)
        if stopping:
            return
        del self._stopping[node]
        state = self.status.nodes.get(node)
        if state is not None and node in self.plan.nodes and state.status is NodeStatus.READY:
            self._enqueue(node, state)

    def _stop_former(self, seen: Observation) -> bool:
        """Stop a live execution that should have ended; False: it may be one yet to come."""
        state = self.status.nodes.get(seen.node)
        number = _number(seen.node, seen.execution_id)
        if state is not None and seen.node in self.plan.nodes and number is not None:
            if number > state.execution_count:
                return False
            if recorded_end(state, seen.execution_id) is not None:
                return True  # late news of something that was seen to end
        self._stop_seen(seen)
        return True

    def _stop_unknown(self, seen: Observation) -> None:
        """Stop a live execution that counts beyond what the status knows, unless it is due.

        A predecessor that crashed before it wrote the status may have launched it: the same
        decision will be made again and find it.
        """
        state = self.status.nodes[seen.node]
        if state.status.ended and self._launching.get(seen.node) != seen.execution_id:
            self._stop_seen(seen)

    def _stop_seen(self, seen: Observation) -> None:
        if seen.execution_id not in self._stopping.get(seen.node, ()):
            self._stop(seen.node, seen.execution_id, "Unexpected")

    def _refused(self, seen: Observation, state: NodeState) -> None:
        self._launching.pop(seen.node, None)
        self._restarting.discard(seen.node)
        changed = (state.reason, state.message) != (seen.reason, _short(seen.message))
        state = self._touch(seen.node)
        state.reason, state.message = seen.reason, _short(seen.message)
        state.next_attempt_at = round(self._now + seen.retry_after, 3)
        self._enqueue(seen.node, state)
        if changed:
            self._emit(EventType.WARNING, seen.reason, seen.message, seen.node)

    def _launched(self, seen: Observation, state: NodeState) -> None:
        """Note that the execution exists; true of every observation but REFUSED."""
        if state.status is NodeStatus.RUNNING:
            restarted = seen.node in self._restarting or seen.attempt != ""
            if restarted and state.next_attempt_at is not None:  # after a disruption
                self._restarting.discard(seen.node)
                self._touch(seen.node).next_attempt_at = None
                state.reason = state.message = ""
            return
        if self._launching.pop(seen.node, None) is None:
            return
        self._move(seen.node, NodeStatus.RUNNING)
        state.execution_id = seen.execution_id
        state.execution_count += 1
        state.launched_at = self._now if seen.at is None else min(seen.at, self._now)
        state.disruptions = 0
        state.started_at = state.completed_at = state.duration_seconds = state.deadline = None
        state.error = None

    def _waiting(self, seen: Observation, state: NodeState) -> None:
        if state.started_at is not None:
            if not seen.idle:
                return  # late
            state = self._touch(seen.node)
            state.started_at = None
            self._set_deadline(seen.node, state, None)
        self._say(seen, state)
        node = self.plan.nodes[seen.node]
        since = seen.created_at if node.start_timeout_own else seen.scheduled_at
        if since is not None:
            self._set_deadline(seen.node, state, since + node.start_timeout)

    def _say(self, seen: Observation, state: NodeState) -> None:
        message = _short(seen.message)
        if (state.reason, state.message) != (seen.reason, message):
            self._touch(seen.node)
            state.reason, state.message = seen.reason, message

    def _started(self, seen: Observation, state: NodeState) -> None:
        self._say(seen, state)
        if state.started_at is not None:
            return
        started = self._now if seen.started_at is None else min(seen.started_at, self._now)
        if state.launched_at is not None and 0 < state.launched_at - started < 1:
            started = state.launched_at  # Kubernetes writes whole seconds
        self._touch(seen.node).started_at = round(started, 3)
        timeout = self.plan.nodes[seen.node].timeout
        self._set_deadline(seen.node, state, None if timeout is None else started + timeout)

    def _set_deadline(self, node: str, state: NodeState, deadline: float | None) -> None:
        deadline = None if deadline is None else round(deadline, 3)
        if state.deadline != deadline:
            self._touch(node).deadline = deadline
            self._set_timer(node, state)

    def _set_timer(self, node: str, state: NodeState) -> None:
        for moment in (state.deadline, state.next_attempt_at):
            if moment is not None:
                heapq.heappush(self._timers, (moment, node))

    def _succeeded(self, seen: Observation, state: NodeState, at: float) -> None:
        raw = seen.output or b""
        if seen.output_limit is not None and len(raw) >= seen.output_limit:
            self._fail(
                seen.node,
                at,
                "OutputTooLarge",
                f"the output has {seen.output_limit} bytes or more, and what carries it takes"
                f" less than {seen.output_limit}: hand over a smaller output",
                retryable=False,
            )
            return
        try:
            output = contracts.parse_output(raw)
        except contracts.OutputNotJSONError as error:
            self._fail(seen.node, at, "OutputNotJSON", f"$PODIUM_OUTPUT: {error}")
            return
        definition = self.plan.nodes[seen.node].definition
        contract = definition.output_contract
        own = contract is not None and contract.quality_threshold is not None
        threshold = contract.quality_threshold if contract is not None and own else None
        if threshold is None:
            everywhere = self._context.get("quality_threshold")
            if isinstance(everywhere, int | float) and not isinstance(everywhere, bool):
                threshold = everywhere
        verdict = contracts.check_output(
            output,
            produces=contract.produces if contract is not None else (),
            schema=contract.schema_ if contract is not None else None,
            quality_threshold=threshold,
            own_threshold=own,
            quality_field=contract.quality_field if contract is not None else "quality_score",
        )
        state = self._touch(seen.node)
        state.quality_score = verdict.quality_score
        if not verdict.ok:
            state.contract_fulfilled = False
            message = "; ".join(str(breach) for breach in verdict.breaches)
            self._fail(seen.node, at, verdict.reason, message)
            return
        if contract is not None:
            state.contract_fulfilled = True
        self._complete(seen.node, output, at)

    def _complete(self, node: str, output: dict[str, Any], at: float) -> None:
        state = self.status.nodes[node]
        state.output = output
        self._move(node, NodeStatus.COMPLETED)
        self._end_execution(state, at)
        self.status.context_version += 1
        state.context_version = self.status.context_version
        took = format_duration(state.duration_seconds or 0)
        self._emit(EventType.NORMAL, "NodeCompleted", f"in {took}", node)
        self._settled(node)

    @staticmethod
    def _end_execution(state: NodeState, at: float) -> None:
        state.completed_at = round(max(at, state.started_at or at), 3)
        state.deadline = None
        if state.started_at is not None:
            state.duration_seconds = round(state.completed_at - state.started_at, 3)

    def _fail(
        self,
        node: str,
        at: float,
        reason: str,
        message: str,
        *,
        retryable: bool = True,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """End an execution as failed; the retry policy decides what becomes of the node."""
        state = self._touch(node)
        self._end_execution(state, at)
        message = _short(message)
        policy = self.plan.nodes[node].retry
        tried = state.retry_count + 1
        again = (
            retryable
            and tried < policy.max_attempts
            and (policy.retry_on is None or reason in policy.retry_on)
        )
        if not again:
            self._move(node, NodeStatus.FAILED, reason, message)
            state.error = NodeError(reason=reason, message=message, details=dict(details or {}))
            self._emit(EventType.WARNING, "NodeFailed", f"{reason}: {message}", node)
            self._settled(node)
            return
        wait = min(
            policy.backoff_seconds * policy.backoff_factor**state.retry_count,
            policy.max_backoff_seconds,
        )
        self._archive(state, NodeStatus.FAILED, reason, message)
        told = f"try {tried} of {policy.max_attempts} failed: {message}"
        self._move(node, NodeStatus.READY, reason, told)
        state.retry_count += 1
        state.next_attempt_at = round(at + wait, 3)
        self._emit(EventType.WARNING, "NodeRetrying", f"{reason}: {told}", node)
        self._enqueue(node, state)

    def _disrupt(self, seen: Observation, state: NodeState) -> None:
        """Start a disrupted execution again: the same id, not counted as a try."""
        if seen.attempt:
            self._disrupted.add(seen.attempt)
        state = self._touch(seen.node)
        state.disruptions += 1
        most = self.plan.nodes[seen.node].definition.max_disruptions
        if state.disruptions > most and not seen.own:
            message = f"disrupted {state.disruptions} times (maxDisruptions: {most}), at last:"
            at = self._now if seen.at is None else min(seen.at, self._now)
            self._stop(seen.node, seen.execution_id, "TooManyDisruptions")
            self._fail(seen.node, at, "TooManyDisruptions", f"{message} {seen.message}")
            return
        state.started_at = state.deadline = None
        state.reason = seen.reason or "Disrupted"
        state.message = _short(seen.message)
        wait = 0.0 if seen.own else min(60.0, 2.0 ** (state.disruptions - 1))
        state.next_attempt_at = round(self._now + wait, 3)
        self._enqueue(seen.node, state)
        self._emit(EventType.WARNING, "NodeDisrupted", f"{state.reason}: {seen.message}", seen.node)

    # Time

    def _expire(self) -> None:
        """Carry out whatever is due."""
        while self._timers and self._timers[0][0] <= self._now:
            moment, name = heapq.heappop(self._timers)
            if name == "":
                if self.status.deadline == moment and not self.status.phase.ended:
                    seconds = self.plan.spec.timeout_seconds
                    self._halt(RUN_TIMEOUT, f"the run took longer than {seconds} s")
                continue
            state = self.status.nodes.get(name)
            if state is None or name not in self.plan.nodes:
                continue
            if state.next_attempt_at == moment:
                self._enqueue(name, state)
            elif state.deadline == moment and state.status is NodeStatus.RUNNING:
                self._time_out(self.plan.nodes[name], state)

    def _time_out(self, node: PlanNode, state: NodeState) -> None:
        if state.started_at is None:
            reason = "StartTimeout"
            message = (
                f"the program did not start within {node.start_timeout:g} s"
                f" (startTimeoutSeconds): {state.reason} {state.message}".rstrip(": ")
            )
        else:
            reason = "Timeout"
            message = f"took longer than {node.timeout:g} s (timeoutSeconds)"
        self._stop(node.id, state.execution_id or "", reason)
        self._fail(node.id, self._now, reason, message)

    def _next_wake(self) -> float | None:
        """Return when something is due at the latest; stale timers are dropped on the way."""
        while self._timers:
            moment, name = self._timers[0]
            if name == "":
                if self.status.deadline == moment:
                    return moment
            else:
                state = self.status.nodes.get(name)
                if state is not None and moment in (state.deadline, state.next_attempt_at):
                    return moment
            heapq.heappop(self._timers)
        return None

    # Re-run and restore

    def _request(self, request: Request, control: Control) -> None:
        """Carry out a request once, or refuse it; a suspended run leaves it in the queue."""
        if request.id in self.status.handled_requests:
            return
        if control.suspend and not control.cancel:
            return
        try:
            if self.status.started_at is None:
                raise _RefusedError("the run has not started")
            if control.cancel:
                raise _RefusedError("the run is cancelled: set spec.cancel to false first")
            if isinstance(request, RerunRequest):
                self._rerun(request)
            else:
                self._restore(request)
        except _RefusedError as refusal:
            reason = "RerunRefused" if isinstance(request, RerunRequest) else "RestoreRefused"
            self._emit(EventType.WARNING, reason, str(refusal))
        self._run_changed = True
        self.status.handled_requests = [*self.status.handled_requests, request.id][
            -HANDLED_REQUESTS:
        ]

    def _rerun(self, request: RerunRequest) -> None:
        plan = request.plan or self.plan
        unknown = [node for node in request.nodes if node not in plan.nodes]
        if unknown:
            known = ", ".join(list(plan.nodes)[:10])
            raise _RefusedError(f"unknown node {', '.join(unknown)}: nodes are {known}")
        if request.context:
            context = {**self._context, **request.context}
            problems = check_context(plan, context)
            if problems:
                raise _RefusedError("; ".join(str(problem) for problem in problems))
            self._check_edits()
            self.status.context_version += 1
            self.status.context_edits.append(
                ContextEdit(
                    version=self.status.context_version,
                    request=request.id,
                    context=dict(request.context),
                )
            )
            self._context = context
        chosen = dict.fromkeys(request.nodes)
        if request.plan is not None:
            if request.initial_context is not None:
                self.initial_context = dict(request.initial_context)
            chosen.update(dict.fromkeys(self._migrate(request.plan)))
        elif not chosen:
            raise _RefusedError("no node is named")
        after = self._descendants(chosen)
        if request.cascade or request.plan is not None:
            chosen.update(dict.fromkeys(after))
        else:
            for node in after:
                self._leave_behind(node, chosen)
        self._reset(list(chosen), "Rerun")
        what = ", ".join(list(chosen)[:5]) + (f" +{len(chosen) - 5}" if len(chosen) > 5 else "")
        self._emit(EventType.NORMAL, "Rerun", f"running again: {what}")

    def _leave_behind(self, node: str, chosen: dict[str, None]) -> None:
        """Leave a descendant as it is, marked; one that has not started waits again."""
        state = self.status.nodes[node]
        if state.status is NodeStatus.READY and node not in chosen:
            chosen[node] = None
        elif state.status in (NodeStatus.RUNNING, NodeStatus.COMPLETED, NodeStatus.FAILED):
            self._touch(node).stale = True

    def _descendants(self, nodes: Iterable[str]) -> list[str]:
        seen = dict.fromkeys(nodes)
        first = len(seen)
        waiting = deque(seen)
        while waiting:
            for index in self.plan.nodes[waiting.popleft()].outgoing:
                target = self.plan.edges[index].target
                if target not in seen:
                    seen[target] = None
                    waiting.append(target)
        return list(seen)[first:]

    def _reset(self, nodes: list[str], reason: str) -> None:
        """Take nodes back to Pending, stop what runs of them, and decide them afresh."""
        for node in nodes:
            state = self.status.nodes[node]
            ran = state.status
            self._stop_current(node, state, reason)
            if state.execution_id is not None and ran in (
                NodeStatus.RUNNING,
                NodeStatus.COMPLETED,
                NodeStatus.FAILED,
                NodeStatus.CANCELLED,
            ):
                ended = ran if ran.ended else NodeStatus.CANCELLED
                self._archive(state, ended, state.reason if ran.ended else reason, state.message)
            if ran is not NodeStatus.PENDING:
                self._move(node, NodeStatus.PENDING)
            _clear(self._touch(node))
        chosen = set(nodes)
        for node in nodes:
            for index in self.plan.nodes[node].incoming:
                self._undecide_edge(self.plan.edges[index])
            for index in self.plan.nodes[node].outgoing:
                self._undecide_edge(self.plan.edges[index])
        for node in chosen:
            for index in self.plan.nodes[node].incoming:
                self._decide_edge(self.plan.edges[index])
        self._reopen()
        self._decide(sorted(chosen, key=lambda node: self.plan.nodes[node].index))

    def _reopen(self) -> None:
        """Set an ended run going again."""
        if not self.status.phase.ended:
            return
        self._run_changed = True
        status = self.status
        status.phase = RunPhase.RUNNING
        status.completed_at = status.duration = None
        set_condition(status, self._now, "Succeeded", ConditionStatus.UNKNOWN, "Running")
        self._set_run_deadline()

    def _archive(self, state: NodeState, status: NodeStatus, reason: str, message: str) -> None:
        """Move the latest execution into the node's history."""
        if state.execution_id is None:
            return
        if any(record.execution_id == state.execution_id for record in state.history):
            return
        record = ExecutionRecord(
            execution_id=state.execution_id,
            status=status,
            reason=reason,
            message=_short(message, 256),
            started_at=state.started_at,
            completed_at=state.completed_at or self._now,
            output=state.output,
            context_version=state.context_version,
        )
        state.history = [record, *state.history][:HISTORY]
        room = RECORD_OUTPUT_BYTES
        for old in state.history:
            if old.output is not None:
                room -= len(contracts.canonical(old.output))
                if room < 0:
                    old.output = None
        state.output = None
        state.context_version = None
        state.quality_score = state.contract_fulfilled = None

    def _migrate(self, plan: Plan) -> list[str]:
        """Move the run to a newer definition; return the nodes that must run (again)."""
        old, states = self.plan, self.status.nodes
        for node in [name for name in states if name not in plan.nodes]:
            self._stop_current(node, states[node], "Removed")
            self._changed.add(node)
            state = states.pop(node)
            if not state.status.ended:
                state.status = NodeStatus.CANCELLED
            self.status.removed_nodes[node] = state
            # The newest matter most, and the status must not grow without bound.
            while len(self.status.removed_nodes) > 100:
                del self.status.removed_nodes[next(iter(self.status.removed_nodes))]
        again = [
            node.id
            for node in plan.nodes.values()
            if node.id not in old.nodes or old.nodes[node.id].digest != node.digest
        ]
        removed = self.status.removed_nodes
        self.status.nodes = {
            # One that comes back goes on counting: an id of an execution is given once.
            node: states.get(node)
            or removed.pop(node, None)
            or NodeState(status=NodeStatus.PENDING, created_at=self._now, updated_at=self._now)
            for node in plan.nodes
        }
        self._changed.update(node for node in again if node not in states)
        self.plan = plan
        self.status.workflow_revision = plan.revision or None
        self._load()
        self._rebuilt = False
        self._resume(leave={*again, *self._descendants(again)})
        return again

    def _restore(self, request: RestoreRequest) -> None:
        """Go back to a context version: what came after it runs again."""
        status = self.status
        version = request.version
        if not 0 <= version <= status.context_version:
            raise _RefusedError(
                f"there is no context version {version}: versions are 0 to {status.context_version}"
            )
        self._check_edits()
        try:
            kept = {
                node: record_at(status, node, state, version)
                for node, state in status.nodes.items()
            }
        except VersionGoneError as error:
            raise _RefusedError(str(error)) from None
        context = edited_context(self.initial_context, status.context_edits, version)
        again = [
            node
            for node, record in kept.items()
            if record is None or record.execution_id != status.nodes[node].execution_id
        ]
        status.context_version += 1
        status.context_edits.append(
            ContextEdit(
                version=status.context_version,
                request=request.id,
                context=context,
                restored=version,
            )
        )
        self._context = context
        back = [node for node in again if kept[node] is not None]
        undone = [node for node in again if kept[node] is None]
        for node in back:
            self._put_back(node, kept[node])
        self._reset(undone, "Restore")
        self._emit(EventType.NORMAL, "Restored", f"to context version {version}")

    def _check_edits(self) -> None:
        if len(self.status.context_edits) >= CONTEXT_EDITS:
            raise _RefusedError(
                f"the context was changed {CONTEXT_EDITS} times, which is the most: re-run without"
                " a context, or make a new run"
            )

    def _put_back(self, node: str, record: ExecutionRecord | None) -> None:
        """Put an earlier execution's result in place."""
        assert record is not None  # noqa: S101 - for the type checker
        state = self.status.nodes[node]
        ran = state.status
        self._stop_current(node, state, "Restore")
        if state.execution_id is not None and ran is not NodeStatus.READY:
            self._archive(state, ran if ran.ended else NodeStatus.CANCELLED, state.reason, "")
        if ran is not NodeStatus.PENDING:
            self._move(node, NodeStatus.PENDING)
        _clear(state)
        for index in self.plan.nodes[node].outgoing:
            self._undecide_edge(self.plan.edges[index])
        state.output = record.output
        self._move(node, NodeStatus.COMPLETED)
        state.execution_id = record.execution_id
        state.context_version = record.context_version
        state.started_at, state.completed_at = record.started_at, record.completed_at


class _RefusedError(ValueError):
    """A request cannot be carried out; the message says why."""


def _clear(state: NodeState) -> None:
    """Take a node's state back to its beginning; counts and history stay."""
    state.execution_id = None
    state.started_at = state.completed_at = state.duration_seconds = None
    state.next_attempt_at = state.launched_at = state.deadline = None
    state.output = None
    state.error = None
    state.warnings = []
    state.retry_count = state.disruptions = 0
    state.quality_score = None
    state.contract_fulfilled = None
    state.context_version = None
    state.stale = False


def recorded_end(state: NodeState, execution: str) -> bool | None:
    """Tell whether an execution succeeded whose program was seen to end.

    None: it has not ended, or was told to.
    """
    if state.execution_id == execution and state.status.ended:
        status = state.status
        reason = state.error.reason if state.error is not None else state.reason
    else:
        record = next((r for r in state.history if r.execution_id == execution), None)
        if record is None:
            return None
        status, reason = record.status, record.reason
    if status is NodeStatus.FAILED:
        return None if reason in _STOPPED else False
    return True if status is NodeStatus.COMPLETED else None


def _expand(value: Any, scope: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        if expressions.has_template(value):
            return expressions.parse_template(value).render(scope)
        return value
    if isinstance(value, Mapping):
        return {key: _expand(item, scope) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_expand(item, scope) for item in value]
    return value


def _add(nodes: set[str], node: str, by: int) -> None:
    if by > 0:
        nodes.add(node)
    else:
        nodes.discard(node)


def _number(node: str, execution: str) -> int | None:
    """Return n of `node-n`, None where the text is no such id."""
    digits = execution.removeprefix(f"{node}-")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def _short(text: str, most: int = MESSAGE_CHARACTERS) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
