"""Engine: one run as a state machine.

Observations are level-triggered: they say what is, not what changed, and may be lost, doubled,
late or out of order. What is derived (counters of joins, queues) is rebuilt from the status, so a
crash loses nothing. The work of a step is in proportion to what it changes: a node that ends costs
its outgoing edges, whatever the size of the run.

An execution is known by its id, which is counted through the run: the same decision made again
after a crash launches the same id, and the shell starts an id once.

Calls go one way: engine → reruns, launching, deadlines, observing → joins → outcomes → ready_queue
→ state. The one turn is a worklist: a node that ends is recorded in `RunState.ended`, and the
loops have `Joins.propagate` decide what follows.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from podium import contracts
from podium.api.reasons import NodeReason
from podium.api.run import NodeStatus, WorkflowRunStatus
from podium.engine.deadlines import expire
from podium.engine.decisions import asked_of
from podium.engine.executions import execution_number
from podium.engine.joins import Joins
from podium.engine.launching import launch_ready
from podium.engine.lifecycle import begin, begin_finally, finish, hold_back
from podium.engine.model import (
    Action,
    ApprovalRequest,
    Control,
    Observation,
    Request,
    RunInfo,
    WakeAt,
)
from podium.engine.observing import observe, stop_former, stop_unknown
from podium.engine.outcomes import cancel_pending
from podium.engine.plan import Plan
from podium.engine.ready_queue import ReadyQueue
from podium.engine.rebuild import rebuild_in_slices
from podium.engine.state import Changes, RunState
from podium.engine.verdicts import Verdicts

if TYPE_CHECKING:
    from podium.engine.reruns import Reruns

__all__ = ["Changes", "Engine"]

_AS_IT_IS = Control()
"""Nothing is asked of the run."""


class Engine:
    """A run: its plan, its status, and what is derived from both.

    `context` is context version 0 (`podium.engine.start.initial_context`). `status` is changed in
    place. The first step of an engine made from a status that was written before must include an
    observation for every live execution: a terminating one blocks its node from starting.
    """

    def __init__(
        self,
        plan: Plan,
        info: RunInfo,
        context: Mapping[str, Any],
        status: WorkflowRunStatus,
        verdicts: Verdicts | None = None,
    ) -> None:
        for _ in self._build(plan, info, context, status, verdicts):
            pass

    @classmethod
    def in_slices(
        cls,
        plan: Plan,
        info: RunInfo,
        context: Mapping[str, Any],
        status: WorkflowRunStatus,
        verdicts: Verdicts | None = None,
    ) -> Generator[None, None, Self]:
        """Make an engine node by node; the caller can do other work in between."""
        engine = cls.__new__(cls)
        yield from engine._build(plan, info, context, status, verdicts)  # noqa: SLF001 - its own
        return engine

    def _build(
        self,
        plan: Plan,
        info: RunInfo,
        context: Mapping[str, Any],
        status: WorkflowRunStatus,
        verdicts: Verdicts | None,
    ) -> Generator[None, None, None]:
        self._run = RunState(plan, info, context, status)
        if verdicts is not None:
            self._run.questions.use(verdicts)
        self._queue = ReadyQueue(self._run)
        self._joins = Joins(self._run, self._queue)
        yield from rebuild_in_slices(self._run, self._queue, self._joins, plan)

    @property
    def plan(self) -> Plan:
        """The definition that the run is at; a re-run may move it to a newer one."""
        return self._run.plan

    @property
    def info(self) -> RunInfo:
        """What never changes about the run."""
        return self._run.info

    @property
    def status(self) -> WorkflowRunStatus:
        """The run's status, as of the latest step."""
        return self._run.status

    @property
    def initial_context(self) -> Mapping[str, Any]:
        """Context version 0."""
        return self._run.initial_context

    @property
    def changed(self) -> bool:
        """Whether there is something to write."""
        return self._run.changed

    def mark_changed(self) -> None:
        """Have what a shell changed of the run's own status written."""
        self._run.run_changed = True

    def take_changes(self) -> Changes:
        """Return what changed since the last call, with the run's counters brought up to date."""
        return self._run.take_changes()

    def is_execution_current(self, node: str, execution: str) -> bool:
        """Return whether an execution is due or runs, as far as is known: it may be started."""
        state = self._run.status.nodes.get(node)
        return self._run.executions.is_current(node, state, execution)

    def asked_of_output(self, node: str) -> contracts.AskedOutput | None:
        """Return what is asked of a node's output that may be large; None: it may not."""
        planned = self._run.plan.nodes.get(node)
        if planned is None or not planned.definition.large_output:
            return None
        return asked_of(self._run, planned)

    def running_executions(self) -> Iterator[tuple[str, str]]:
        """Return nodes that run with their executions, as far as a shell has a program for them.

        A node whose kind runs without one, and one that waits for its restart, is left out.
        """
        for node in (*self._run.counters.running, *self._run.items.running):
            state = self._run.status.nodes[node]
            if (
                self._run.plan.nodes[node].kind.has_execution
                and state.execution_id is not None
                and state.next_attempt_at is None
            ):
                yield node, state.execution_id

    def has_recorded_execution(self, node: str, execution: str) -> bool:
        """Return whether the status knows of an execution, so that its end counts, or has counted.

        No: it was launched, and that was not taken in yet, perhaps because a predecessor crashed
        first. The launch is given out again, and finds it.
        """
        judging = self._run.judging.get(node)
        if judging is not None and judging.execution == execution:
            return False  # how it ended is not known yet
        state = self._run.status.nodes.get(node) or self._run.known(node)
        number = execution_number(node, execution)
        return state is None or number is None or number <= state.last_execution_number

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
        control = control or _AS_IT_IS
        if control.cancel or control.terminate:  # what is to end must not stand still
            control = control._replace(cancel=True, suspend=False)
        run, queue, joins = self._run, self._queue, self._joins
        run.now = round(now, 3)
        unexpected: list[Observation] = []
        asked = list(requests)
        was_finishing = bool(asked) and (run.is_finishing or run.is_rolling_back)
        self._take_up(run.questions.begin_step())
        if run.is_first_step:
            # First of all, what a predecessor left. Then: a node may be decidable although the
            # crash came before it was decided.
            seen_first = self._observe(observations)
            unexpected += [seen for seen in seen_first if not stop_former(run, seen)]
            observations = ()
            run.knows_what_runs = True
            joins.decide_edges()
            if run.status.started_at is not None:
                joins.decide(list(run.plan.nodes))
                for group in run.plan.members:
                    joins.finish_group(group)
                if run.rollback is not None:
                    run.ended.extend(run.rollback.stopped)
        for request in asked:
            if isinstance(request, ApprovalRequest):
                self._answer(request, control)
            else:
                self._reruns().handle(request, control)
        run.is_first_step = False
        is_new = run.status.started_at is None
        if is_new and not control.suspend:
            if control.hold is None or control.cancel:
                begin(run, queue, joins)
            else:
                hold_back(run, control.hold)
        unexpected += self._observe(observations)
        joins.propagate()
        if control.cancel:
            # A run that never began leaves nothing that `finally` could clean up.
            with_finally = is_new or control.terminate
            message = f"the run was {'terminated' if control.terminate else 'cancelled'}"
            cancel_pending(run, NodeReason.RUN_CANCELLED, message, with_finally=with_finally)
        expire(run, queue, joins)
        unknown = [seen for seen in unexpected if not stop_former(run, seen)] if unexpected else []
        if not control.suspend and not run.status.phase.ended:
            launch_ready(run, queue, joins)
        if run.plan.compensations:  # first: it may give out again what a predecessor launched
            self._roll_back(control)
        for seen in unknown:
            stop_unknown(run, seen)
        if run.counters.open_finally and not control.suspend and begin_finally(run, queue, joins):
            launch_ready(run, queue, joins)
        finish(run, queue, control)
        is_due = run.questions.has_left or (was_finishing and self._has_waited(asked))
        wake = run.now if is_due else queue.next_wake()
        if wake is not None:
            run.actions.append(WakeAt(wake))
        return run.take_actions()

    def _reruns(self) -> "Reruns":
        from podium.engine.reruns import Reruns  # noqa: PLC0415 - few runs on a laptop have requests

        return Reruns(self._run, self._queue, self._joins)

    def _roll_back(self, control: Control) -> None:
        from podium.engine.rollback import (  # noqa: PLC0415 - few runs have compensations
            begin_rollback,
            conclude_rollback,
            is_due,
        )

        run = self._run
        conclude_rollback(run)
        run.awaits_rollback = is_due(run, control)
        if run.awaits_rollback and not control.suspend:
            run.awaits_rollback = not begin_rollback(run, self._queue, self._joins)
            launch_ready(run, self._queue, self._joins)
            conclude_rollback(run)

    def _answer(self, request: ApprovalRequest, control: Control) -> None:
        from podium.engine.approvals import answer_approval  # noqa: PLC0415 - few runs have some

        answer_approval(self._run, self._queue, request, control)

    def _has_waited(self, asked: Iterable[Request]) -> bool:
        """Return whether requests waited for the end of the run, which has come."""
        status = self._run.status
        handled = status.handled_requests
        return status.phase.ended and any(request.id not in handled for request in asked)

    def _take_up(self, left: Iterable[str]) -> None:
        """Go on with nodes that the step before had no time for."""
        for node in left:
            state = self._run.known(node)
            if state is not None and state.status is NodeStatus.READY:
                self._queue.add(node)
            else:
                self._run.questions.changed.append(node)

    def _observe(self, observations: Iterable[Observation]) -> list[Observation]:
        """Take in what was seen; return what is of executions that the run does not expect."""
        unexpected = []
        for seen in observations:
            if not observe(self._run, self._queue, seen):
                unexpected.append(seen)
            if self._run.ended:
                self._joins.propagate()
        return unexpected
