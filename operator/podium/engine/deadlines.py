"""Deadlines: what is due by the clock, of nodes and of the run."""

from podium.api.reasons import EventReason, NodeReason
from podium.api.run import NodeState, NodeStatus
from podium.engine.decisions import finish
from podium.engine.groups import end_members
from podium.engine.joins import Joins
from podium.engine.model import EventType
from podium.engine.outcomes import cancel_pending, fail
from podium.engine.plan import PlanNode
from podium.engine.ready_queue import HOLD_SECONDS, RUN_TIMER, ReadyQueue
from podium.engine.state import RunState

__all__ = ["expire"]


def expire(run: RunState, queue: ReadyQueue, joins: Joins) -> None:
    """Carry out whatever is due."""
    for moment, name in queue.due():
        if name == RUN_TIMER:
            if run.status.deadline == moment and not run.status.phase.ended:
                _end_run(run)
            continue
        if run.executions.held_until.get(name) == moment:
            _give_up(run, queue, joins, name)
            continue
        state = run.known(name)
        if state is None:
            continue
        if state.next_attempt_at == moment:
            queue.add(name)
        elif state.waits_until == moment and state.status is NodeStatus.RUNNING:
            finish(run, queue, run.plan.nodes[name], None, run.now)
            joins.propagate()
        elif state.deadline == moment and state.status is NodeStatus.RUNNING:
            _time_out(run, queue, run.plan.nodes[name], state)
            joins.propagate()


def _end_run(run: RunState) -> None:
    spec = run.plan.spec
    if run.is_finishing:
        message = f"finally took longer than {spec.finally_timeout_seconds:.15g} s"
        cancel_pending(run, NodeReason.FINALLY_TIMEOUT, message, with_finally=True)
    else:
        message = f"the run took longer than {spec.timeout_seconds:.15g} s"
        cancel_pending(run, NodeReason.RUN_TIMEOUT, message)


def _give_up(run: RunState, queue: ReadyQueue, joins: Joins, node: str) -> None:
    run.executions.give_up(node)
    message = (
        f"it was stopped {HOLD_SECONDS:g} s ago, and nothing says that its program is gone: what"
        " waits for it goes on"
    )
    run.emit(EventType.WARNING, EventReason.NODE_NOT_GONE, message, node)
    queue.release()
    state = run.known(node)
    if state is not None and state.status.ended:
        run.ended.append(node)
    joins.propagate()


def _time_out(run: RunState, queue: ReadyQueue, node: PlanNode, state: NodeState) -> None:
    if state.started_at is None:
        reason = NodeReason.START_TIMEOUT
        message = (
            f"the program did not start within {node.start_timeout:.15g} s"
            f" (startTimeoutSeconds): {state.reason} {state.message}".rstrip(": ")
        )
    else:
        reason = NodeReason.TIMEOUT
        message = f"took longer than {node.timeout:.15g} s (timeoutSeconds)"
    run.stop_current(node.id, reason)
    if node.id in run.plan.members:
        end_members(run, node.id)
    fail(run, queue, node.id, run.now, reason, message)
