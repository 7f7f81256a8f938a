"""Observing: what a shell saw of executions, and what it makes of their nodes."""

from collections.abc import Callable
from typing import Final

from podium import contracts
from podium.api.base import shorten
from podium.api.reasons import EventReason, NodeReason
from podium.api.run import NodeState, NodeStatus
from podium.engine.decisions import conclude, finish
from podium.engine.executions import execution_number
from podium.engine.history import recorded_outcome
from podium.engine.model import LONG_WAIT_SECONDS, AttemptPhase, EventType, Observation
from podium.engine.outcomes import disrupt, fail
from podium.engine.output_values import OutputValueError, with_values
from podium.engine.ready_queue import ReadyQueue
from podium.engine.state import USUAL_WAITS, RunState
from podium.engine.usage import USAGE_KEY, asks_models, note_usage
from podium.engine.verdicts import Answer

__all__ = ["ON_PHASE", "observe", "stop_former", "stop_unknown"]

_OF_AN_EXECUTION = (
    "started_at",
    "completed_at",
    "duration_seconds",
    "deadline",
    "error",
    "artifacts",
    "output_ref",
    "token_usage",
    "cost",
)
REPORT_SECONDS = 3.0
"""How long after a deadline by whole seconds an earlier end may still be reported: the start was
cut off to a second, and a kubelet takes up to two to report an end."""
_LIVE = (AttemptPhase.LAUNCHED, AttemptPhase.WAITING, AttemptPhase.RUNNING)
_ENDS = frozenset({*AttemptPhase} - {*_LIVE, AttemptPhase.JUDGED})
"""Of one that was stopped, they say that it is gone."""


def observe(run: RunState, queue: ReadyQueue, seen: Observation) -> bool:
    """Take in one observation; False: it is of an execution that the run does not expect."""
    executions = run.executions
    if isinstance(seen.verdict, Answer):
        _answered(run, queue, seen.node, seen.verdict)
        return True
    is_stopping = executions.is_stopping(seen.node, seen.execution_id)
    if seen.phase is AttemptPhase.GONE or (is_stopping and seen.phase in _ENDS):
        _gone(run, queue, seen.node, seen.execution_id)
        return True
    if is_stopping:
        return True
    state = run.known(seen.node)
    is_about_program = seen.phase is not AttemptPhase.JUDGED
    if (
        state is None
        or (is_about_program and not run.plan.nodes[seen.node].kind.has_execution)
        or not executions.is_current(seen.node, state, seen.execution_id)
    ):
        number = execution_number(seen.node, seen.execution_id) or 0
        if state is not None and number > state.last_execution_number:
            executions.add_unrecorded(seen.node, seen.execution_id)
        return False
    if seen.attempt and seen.attempt in executions.disrupted:
        return True
    if seen.node in run.judging and seen.phase is not AttemptPhase.JUDGED:
        return True  # its program has ended
    ON_PHASE[seen.phase](run, queue, seen, state)
    return True


def _answered(run: RunState, queue: ReadyQueue, node: str, answer: Answer) -> None:
    """Take in the answer to a question about a node that has not started; it goes on."""
    state = run.known(node)
    if not run.questions.take(node, answer) or state is None:
        return  # None: it is about the run, whose end asks again
    is_map = node in run.plan.for_each
    if state.status in (NodeStatus.READY, NodeStatus.RUNNING) and not is_map:
        if state.reason == NodeReason.JUDGING:
            run.touch(node)
            state.reason = state.message = ""
        queue.add(node)
    else:
        run.questions.changed.append(node)


# Executions that should not be there


def _gone(run: RunState, queue: ReadyQueue, node: str, execution: str) -> None:
    if not run.executions.remove_stop(node, execution):
        return
    queue.release()
    state = run.known(node)
    if state is None:
        return
    if state.status is NodeStatus.READY:
        queue.add(node)
    elif state.status.ended:
        run.ended.append(node)  # what waited for it is decided


def stop_former(run: RunState, seen: Observation) -> bool:
    """Stop a live execution that should have ended; False: it may be one yet to come."""
    state = run.known(seen.node)
    number = execution_number(seen.node, seen.execution_id)
    if state is not None and number is not None:
        if number > state.last_execution_number:
            return False
        if recorded_outcome(state, seen.execution_id) is not None:
            return True  # late news of something that was seen to end
    run.spend(seen.node, seen.execution_id)
    _stop_seen(run, seen)
    return True


def stop_unknown(run: RunState, seen: Observation) -> None:
    """Stop an execution that counts beyond what the status knows, unless it may be due.

    A predecessor that crashed before it wrote the status may have launched it: the same decision
    will be made again and find it. Where it is not made, the id is spent.
    """
    is_due = run.executions.launching.get(seen.node) == seen.execution_id
    if run.awaits_rollback and seen.node in run.plan.compensations:
        return  # once the run is no longer suspended, or nothing else runs, it is launched again
    state = run.known(seen.node)
    if state is not None and state.status.ended and not is_due:
        run.executions.unrecorded.pop(seen.node, None)
        run.spend(seen.node, seen.execution_id)
        _stop_seen(run, seen)


def _stop_seen(run: RunState, seen: Observation) -> None:
    is_live = seen.phase in _LIVE
    if is_live and not run.executions.is_stopping(seen.node, seen.execution_id):
        run.stop(seen.node, seen.execution_id, NodeReason.UNEXPECTED)


# Phases of the current execution


def _refused(run: RunState, queue: ReadyQueue, seen: Observation, state: NodeState) -> None:
    run.executions.drop_launch(seen.node)
    is_news = (state.reason, state.message) != (seen.reason, shorten(seen.message))
    state = run.touch(seen.node)
    state.reason, state.message = seen.reason, shorten(seen.message)
    state.next_attempt_at = round(run.now + seen.retry_after, 3)
    queue.add(seen.node)
    if (map_ := run.plan.nodes[seen.node].map) and state.status is NodeStatus.READY:
        run.items.refuse(map_, seen.node)
    if is_news:
        run.emit(EventType.WARNING, seen.reason, seen.message, seen.node)


def _launched(run: RunState, queue: ReadyQueue, seen: Observation, state: NodeState) -> None:
    """Note that the execution exists."""
    if state.status is NodeStatus.RUNNING:
        if seen.job_uid and seen.job_uid != state.job_uid:
            _note_job(run.touch(seen.node), seen)
        if seen.child_run and seen.child_run != state.child_run:
            run.touch(seen.node).child_run = seen.child_run
        if seen.pod_uid and seen.pod_uid != state.pod_uid:
            run.touch(seen.node).pod_uid = seen.pod_uid
        is_restarted = seen.node in run.executions.restarting or seen.attempt != ""
        if is_restarted and state.next_attempt_at is not None:  # after a disruption
            run.executions.restarting.discard(seen.node)
            run.touch(seen.node).next_attempt_at = None
            state.reason = state.message = ""
        return
    if seen.node not in run.executions.launching:
        return
    run.executions.set_recorded(seen.node)
    run.transition(seen.node, NodeStatus.RUNNING)
    if map_ := run.plan.nodes[seen.node].map:
        queue.feed(map_)
    state.execution_id = seen.execution_id
    state.execution_count += 1
    state.launched_at = _seen_at(run, seen)
    _note_job(state, seen)
    if state.disruptions:
        state.disruptions = 0
    for name in _OF_AN_EXECUTION:
        if getattr(state, name) is not None:
            setattr(state, name, None)


def _note_job(state: NodeState, seen: Observation) -> None:
    """Record which Job, and which Pod of it, carries out an execution."""
    if state.job_uid or seen.job_uid:
        state.job_uid, state.job_name = seen.job_uid or None, seen.job_name or None
    if state.child_run or seen.child_run:
        state.child_run = seen.child_run or None
    if state.pod_uid or seen.pod_uid:
        state.pod_uid = seen.pod_uid or None


def _waiting(run: RunState, queue: ReadyQueue, seen: Observation, state: NodeState) -> None:
    _launched(run, queue, seen, state)
    if state.started_at is not None:
        if not seen.idle:
            return  # late
        run.touch(seen.node).started_at = None
        queue.set_deadline(seen.node, None)
    _set_reason(run, seen, state)
    _announce_long_wait(run, seen, state)
    node = run.plan.nodes[seen.node]
    since = seen.created_at if node.start_timeout_own else seen.scheduled_at
    if since is not None:
        queue.set_deadline(seen.node, _deadline(run, since, node.start_timeout))


def _announce_long_wait(run: RunState, seen: Observation, state: NodeState) -> None:
    """Announce once what an execution waits for that has not started for long."""
    since = state.launched_at
    if since is None or run.now - since < LONG_WAIT_SECONDS:
        return
    if not seen.reason or run.announced_waits.get(seen.node) == seen.execution_id:
        return
    run.announced_waits[seen.node] = seen.execution_id
    message = f"{seen.reason}: {seen.message}" if seen.message else seen.reason
    kind = EventType.NORMAL if seen.reason in USUAL_WAITS else EventType.WARNING
    run.emit(kind, EventReason.NODE_WAITING, f"has not started yet: {message}", seen.node)


def _set_reason(run: RunState, seen: Observation, state: NodeState) -> None:
    message = shorten(seen.message)
    if state.reason != seen.reason or state.message != message:
        run.touch(seen.node)
        state.reason, state.message = seen.reason, message


def _started(run: RunState, queue: ReadyQueue, seen: Observation, state: NodeState) -> None:
    _launched(run, queue, seen, state)
    _set_reason(run, seen, state)
    if state.started_at is not None:
        return
    started = run.now if seen.started_at is None else min(seen.started_at, run.now)
    if state.launched_at is not None and 0 < state.launched_at - started < 1:
        started = state.launched_at  # Kubernetes writes whole seconds
    run.touch(seen.node).started_at = round(started, 3)
    timeout = run.plan.nodes[seen.node].timeout
    queue.set_deadline(seen.node, None if timeout is None else _deadline(run, started, timeout))


def _deadline(run: RunState, since: float, seconds: float) -> float:
    """Return when an execution is timed out: what ended in time is never stopped."""
    return since + seconds + (REPORT_SECONDS if run.info.whole_seconds else 0.0)


def _failed(run: RunState, queue: ReadyQueue, seen: Observation, state: NodeState) -> None:
    _launched(run, queue, seen, state)
    if seen.started_at is not None:
        _started(run, queue, seen, state)
    if seen.usage is not None and asks_models(run.plan.nodes[seen.node]):
        note_usage(run, run.plan.nodes[seen.node], seen.usage)
    details = dict(seen.details)
    if seen.exit_code is not None:
        details["exitCode"] = seen.exit_code
    fail(
        run,
        queue,
        seen.node,
        _seen_at(run, seen),
        seen.reason or NodeReason.ERROR,
        seen.message,
        retryable=seen.retryable,
        details=details,
    )


def _succeeded(run: RunState, queue: ReadyQueue, seen: Observation, state: NodeState) -> None:
    _started(run, queue, seen, state)
    at = _seen_at(run, seen)
    if seen.artifacts:
        state.artifacts = seen.artifacts
    node = run.plan.nodes[seen.node]
    if seen.usage is not None and asks_models(node):
        note_usage(run, node, seen.usage)
    raw = seen.output or b""
    if seen.output_limit is not None and len(raw) >= seen.output_limit:
        limit, size = seen.output_limit, seen.output_size
        shown = f"{limit} bytes or more" if size is None else f"{size} bytes"
        message = (
            f"the output has {shown}, but must have less than {limit}: set largeOutput: true on the"
            " node, or hand over less, or files in artifacts"
        )
        fail(run, queue, seen.node, at, NodeReason.OUTPUT_TOO_LARGE, message, retryable=False)
        return
    try:
        output = contracts.parse_output(raw)
    except contracts.OutputNotJSONError as error:
        fail(run, queue, seen.node, at, NodeReason.OUTPUT_NOT_JSON, f"$PODIUM_OUTPUT: {error}")
        return
    if asks_models(node):
        output.pop(USAGE_KEY, None)
    if node.definition.outputs:
        try:
            output = with_values(node.definition.outputs, output, seen.values, seen.output_limit)
        except OutputValueError as error:
            reason, final = error.reason, error.reason == NodeReason.OUTPUT_TOO_LARGE
            fail(run, queue, seen.node, at, reason, str(error), retryable=not final)
            return
    finish(run, queue, node, output, at, seen.stored)


def _judged(run: RunState, queue: ReadyQueue, seen: Observation, _: NodeState) -> None:
    if isinstance(seen.verdict, contracts.OutputVerdict):
        conclude(run, queue, run.plan.nodes[seen.node], seen.verdict)


def _disrupted(run: RunState, queue: ReadyQueue, seen: Observation, state: NodeState) -> None:
    _launched(run, queue, seen, state)
    disrupt(run, queue, seen)


ON_PHASE: Final[
    dict[AttemptPhase, Callable[[RunState, ReadyQueue, Observation, NodeState], None]]
] = {
    AttemptPhase.REFUSED: _refused,
    AttemptPhase.LAUNCHED: _launched,
    AttemptPhase.WAITING: _waiting,
    AttemptPhase.RUNNING: _started,
    AttemptPhase.SUCCEEDED: _succeeded,
    AttemptPhase.FAILED: _failed,
    AttemptPhase.DISRUPTED: _disrupted,
    AttemptPhase.JUDGED: _judged,
}
"""What each phase of a current execution makes of its node; GONE is only of one that was stopped.

All but REFUSED say that the execution exists.
"""


def _seen_at(run: RunState, seen: Observation) -> float:
    """Return when it happened: a clock that is ahead of the shell's does not count."""
    return run.now if seen.at is None else min(seen.at, run.now)
