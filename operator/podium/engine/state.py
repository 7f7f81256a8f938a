"""State of a run while the engine steps: its status, and the counters derived from it."""

from collections import deque
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from podium.api.base import shorten
from podium.api.names import execution_id, split_item
from podium.api.reasons import NodeReason
from podium.api.run import NodeState, NodeStatus, WorkflowRunStatus
from podium.engine.changes import Changes, Judging
from podium.engine.context import edge_scope, node_scope
from podium.engine.counters import Counters
from podium.engine.executions import MAX_AHEAD, Executions, execution_number
from podium.engine.history import edited_context
from podium.engine.items import Items
from podium.engine.model import Action, Emit, EventType, Hold, Launch, RunInfo, Stop
from podium.engine.plan import Plan, PlanEdge
from podium.engine.questions import Questions
from podium.engine.selection import unneeded_state
from podium.engine.summary import current_of, reason_of
from podium.engine.transitions import TRANSITIONS

if TYPE_CHECKING:
    from podium.engine.rollback import Rollback

__all__ = ["RUN", "Changes", "Judging", "RunState"]

RUN = ""
"""In the place of a node's name: the run itself."""

USUAL_WAITS = frozenset({NodeReason.SCHEDULING, NodeReason.STARTING, NodeReason.PULLING_IMAGE})
"""What every Pod waits for on its way."""


class RunState:
    """The status of one run, with what a step changes and what it answers.

    Every change of a node's status goes through `transition`, which keeps the counters right.
    """

    def __init__(
        self,
        plan: Plan,
        info: RunInfo,
        initial_context: Mapping[str, Any],
        status: WorkflowRunStatus,
    ) -> None:
        self.info = info
        self.status = status
        self.initial_context = dict(initial_context)
        self.now = 0.0
        self.actions: list[Action] = []
        """What the shell is to do, in order; launches come after all else."""
        self._launches: dict[str, tuple[Launch, bool]] = {}
        """Launches of this step by node, with whether their execution is new to every shell: what
        ends its node in the same step withdraws them."""
        self.ended: deque[str] = deque()
        """Nodes that have ended and whose outgoing edges are not decided yet."""
        self.spawned: deque[str] = deque()
        """Groups that have begun and whose members are not decided yet."""
        self.executions = Executions()
        self.questions = Questions()
        self.judging: dict[str, Judging] = {}
        """Nodes whose output is being checked. Lost in a crash: the shell reports the end again."""
        self.knows_what_runs = False
        """Whether the first observations were taken in: before, what was stopped may still run."""
        self.is_first_step = True
        """Whether no step was made yet: a predecessor may have launched what has not ended."""
        self.announced_waits: dict[str, str] = {}
        """Executions by node whose long wait was reported."""
        self.held_back: Hold | None = None
        """Why the run fails without having begun, in this step."""
        self.ending: Mapping[str, Any] | None = None
        """What nodes of `finally` and compensations are told of the run, while they may run."""
        self.rollback: Rollback | None = None
        """Which compensations may start, while the run is rolled back."""
        self.output_values: dict[str, Any] = {}
        """What the run hands over, as far as it is evaluated. Lost in a crash: it is evaluated
        again, from the same states."""
        self.output_problem: str | None = None
        """Why it cannot hand that over, in this step."""
        self.run_changed = False
        self._changed: set[str] = set()
        self.plan = plan
        self.items = Items(self)

    def load(self, plan: Plan) -> Generator[None, None, None]:
        """Rebuild the counters from a plan and the status, node by node."""
        self.plan = plan
        self.questions.drop_all()
        self.context = edited_context(
            self.initial_context, self.status.context_edits, constants=plan.fixed_context
        )
        """The run's context with all its edits."""
        self.max_parallel = self.info.max_parallel or plan.max_parallel
        own = self.info.fail_fast
        self.fail_fast = plan.spec.fail_fast if own is None else own
        self.awaits_rollback = False
        """Whether a rollback is to begin that cannot do so in this step."""
        self.held_up: dict[str, str] = {}
        """Why nodes wait, of those that wait for more than their usual start."""
        self.outputs: dict[str, Any] = {}
        """Of the nodes that are Completed."""
        self.has_omitted_outputs = False
        """Whether some node was not handed the outputs of all its ancestors."""
        self.counters = Counters(self)
        for node in plan.nodes:
            state = self.status.nodes.get(node)
            if state is None and node in plan.compensations:
                state = self.status.nodes[node] = unneeded_state(self.now)
            elif state is None:
                state = NodeState(status=NodeStatus.PENDING, created_at=self.now or None)
                self.status.nodes[node] = state
            self.has_omitted_outputs |= state.omitted_outputs > 0
            self.counters.count(node, state, +1)
            self._note_wait(node, state)
            yield
        if plan.for_each:
            yield from self._load_items()

    def _load_items(self) -> Generator[None, None, None]:
        self.items.load()
        nodes = self.status.nodes
        # Those of maps that a newer definition has not are gone with them.
        for node in [each for each in nodes if each not in self.plan.nodes]:
            if self.plan.node(node) is not None:
                self.counters.count(node, nodes[node], +1)
                self._note_wait(node, nodes[node])
            else:
                del nodes[node]
                self.mark_changed(node)
            yield

    @property
    def is_finishing(self) -> bool:
        """Whether all has ended but the nodes of `finally`, and they may run."""
        return self.status.finishing_since is not None and not self.status.phase.ended

    @property
    def is_rolling_back(self) -> bool:
        """Whether compensations run, or wait."""
        return self.counters.open_compensations > 0

    def may_undo(self, compensation: str) -> bool:
        """Return whether a compensation may start."""
        return self.rollback is not None and compensation in self.rollback.free

    # Nodes

    def transition(
        self, node: str, status: NodeStatus, reason: str = "", message: str = ""
    ) -> NodeState:
        """Move a node to another status. The one place where a node's status is set.

        One that completes has its output already.
        """
        state = self.touch(node)
        if status not in TRANSITIONS[state.status]:
            raise AssertionError(
                f"{node}: {state.status.value} → {status.value} is not a transition"
            )
        self.counters.count(node, state, -1)
        state.status = status
        if state.reason != reason:
            state.reason = str(reason)
        if state.message != message:
            state.message = shorten(message)
        self.counters.count(node, state, +1)
        # A field of a model costs more to set than to read.
        if status is not NodeStatus.READY and state.next_attempt_at is not None:
            state.next_attempt_at = None
        if status is not NodeStatus.RUNNING:
            if state.waits_until is not None:
                state.waits_until = None
            if state.pod_uid is not None:
                state.pod_uid = None
            self.judging.pop(node, None)
        if status is not NodeStatus.WAITING:
            self.questions.drop(node)
        if status.ended:
            if node in self.plan.for_each:
                self.items.close(node, reason)
            if state.deadline is not None:
                state.deadline = None
            self.executions.drop_launch(node)
            if node in self.executions.unrecorded:
                self.stop_unrecorded(node, reason or status.value)
        return state

    def touch(self, node: str) -> NodeState:
        """Return the state of a node that is about to be changed: it will be written."""
        self._changed.add(node)
        state = self.status.nodes[node]
        if state.updated_at != self.now:
            state.updated_at = self.now
        return state

    def put(self, node: str, state: NodeState) -> None:
        """Give an item a state of its own."""
        self.status.nodes[node] = state
        self.counters.count(node, state, +1)
        self.touch(node)

    def drop(self, node: str) -> None:
        """Drop the state of an item: its map says how it stands."""
        self.counters.count(node, self.status.nodes.pop(node), -1)
        self.items.open[self.plan.nodes[node].map].pop(node, None)
        self.mark_changed(node)

    def mark_changed(self, node: str) -> None:
        """Have a node written that is no longer part of the run, or new in it."""
        self._changed.add(node)

    def known(self, node: str) -> NodeState | None:
        """Return the state of a node of the present plan, None if it is not one."""
        if node in self.plan.nodes:
            return self.status.nodes.get(node)
        if not self.plan.for_each or (item := split_item(node)) is None:
            return None
        return self.status.nodes.get(node) or self.items.known(*item)

    def next_execution(self, node: str) -> str:
        """Return the id of the execution that a node has, or would be launched with."""
        state = self.status.nodes[node]
        if state.status is NodeStatus.RUNNING and state.execution_id is not None:
            return state.execution_id
        return execution_id(node, state.last_execution_number + 1)

    def node_scope(self, node: str) -> Mapping[str, Any]:
        """Return the names that a node's own expressions know."""
        execution = self.next_execution(node)
        status, planned = self.status, self.plan.nodes[node]
        scope = node_scope(
            self.plan,
            self.info,
            planned.place,
            execution,
            status.nodes,
            self.context,
            status.started_at,
            self.ending_for(planned.place),
        )
        if not planned.map:
            return scope
        own = {"item": self.items.values(planned.map)[planned.item], "index": planned.item}
        return {**scope, "node": {"id": node, "executionId": execution}, **own}

    def edge_scope(self, edge: PlanEdge) -> Mapping[str, Any]:
        """Return the names that the condition of an edge knows."""
        status, ending = self.status, self.ending_for(edge.target)
        return edge_scope(
            self.plan, self.info, edge, status.nodes, self.context, status.started_at, ending
        )

    def ending_for(self, node: str) -> Mapping[str, Any] | None:
        """Return what a node is told of the end of the run: one of `finally`, a compensation."""
        plan = self.plan
        return self.ending if node in plan.finally_nodes or node in plan.compensations else None

    # Actions

    def emit(self, kind: EventType, reason: str, message: str, node: str | None = None) -> None:
        """Record an Event, for the users of the run.

        Items are many: of those of a map only the first warnings are told.
        """
        item = split_item(node) if node is not None and self.plan.for_each else None
        if item and (kind is EventType.NORMAL or not self.items.may_tell(item[0])):
            return
        self.actions.append(Emit(kind, reason, shorten(message), node))

    def stop(self, node: str, execution: str, reason: str) -> None:
        """Stop an execution: its node does not start again before it is gone."""
        self.executions.add_stop(node, execution)
        self.actions.append(Stop(node, execution, reason))

    def stop_current(self, node: str, reason: str) -> None:
        """Stop the execution of a node that runs or is being launched, if there is one."""
        self.executions.drop_launch(node)
        state = self.status.nodes[node]
        has_execution = self.plan.nodes[node].kind.has_execution
        if has_execution and state.status is NodeStatus.RUNNING and state.execution_id is not None:
            self._launches.pop(node, None)
            self.stop(node, state.execution_id, reason)
        self.stop_unrecorded(node, reason)

    def launch(self, launch: Launch) -> None:
        """Give out a launch, of a new execution or of one that was disrupted."""
        node, execution = launch.node, launch.execution_id
        is_new = False
        if self.status.nodes[node].status is NodeStatus.RUNNING:
            self.executions.restarting.add(node)
        else:
            is_new = node not in self.executions.unrecorded
            own = self.plan.nodes[node]
            self.executions.add_launch(node, execution, own.kind.holds_slot, own.bounds)
        self._launches[node] = launch, is_new

    def spend(self, node: str, execution: str) -> bool:
        """Never give out an execution's id (again); False: the status knows of it already."""
        state = self.status.nodes.get(node) or self.status.removed_nodes.get(node)
        number = execution_number(node, execution)
        if state is None and number is not None and (item := split_item(node)) is not None:
            return self.items.spend(item[0], number)
        last = 0 if state is None else state.last_execution_number
        if state is None or number is None or not last < number <= last + MAX_AHEAD:
            return False
        state.cancelled_launches = number - state.execution_count
        self.run_changed = True
        if node in self.status.nodes:
            self.touch(node)
        return True

    def stop_unrecorded(self, node: str, reason: str) -> None:
        """Stop what was given out of a node, and is not wanted any more."""
        execution = self.executions.unrecorded.pop(node, None)
        if execution is None:
            return
        _, is_new = self._launches.pop(node, (None, False))
        if not is_new and self.spend(node, execution):
            self.stop(node, execution, reason)

    def take_actions(self) -> list[Action]:
        """Return the actions since the last call."""
        actions, self.actions = self.actions, []
        if self._launches:
            actions += [launch for launch, _ in self._launches.values()]
            self._launches = {}
        return actions

    # Changes

    @property
    def changed(self) -> bool:
        """Whether there is something to write."""
        return self.run_changed or bool(self._changed)

    def take_changes(self) -> Changes:
        """Return what changed since the last call, with the run's counters brought up to date."""
        changes = Changes(frozenset(self._changed), self.changed)
        if self._changed:
            states = self.status.nodes
            done = len(self.plan.nodes) - self.counters.open - self.counters.undone
            self.status.progress = f"{done}/{len(self.plan.nodes) - self.counters.left_out}"
            self.status.current = current_of(self)
            for node in self._changed:
                self._note_wait(node, states.get(node))
        if changes.run:
            self.status.reason = reason_of(self)
        self._changed = set()
        self.run_changed = False
        return changes

    def _note_wait(self, node: str, state: NodeState | None) -> None:
        if (
            state is not None
            and (reason := state.reason)
            and reason not in USUAL_WAITS
            and state.status in (NodeStatus.READY, NodeStatus.RUNNING)
        ):
            self.held_up[node] = reason
        elif self.held_up:
            self.held_up.pop(node, None)
