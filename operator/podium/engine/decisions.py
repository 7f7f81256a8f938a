"""Decisions: what a kind decided about a node that runs, carried out."""

from typing import Any, NamedTuple

from podium import contracts, expressions, kinds
from podium.api.base import shorten
from podium.api.node_state import OutputRef
from podium.api.reasons import EventReason, NodeReason
from podium.api.run import NodeStatus
from podium.engine.groups import member_ends
from podium.engine.item_ends import ended_items
from podium.engine.items import MAX_OUTPUTS_BYTES
from podium.engine.model import EventType, StoredOutput
from podium.engine.outcomes import complete, fail, skip
from podium.engine.plan import PlanNode
from podium.engine.ready_queue import ReadyQueue
from podium.engine.state import Judging, RunState
from podium.engine.verdicts import OutputQuestion, answer, is_small

__all__ = ["asked_of", "begin_without_program", "carry_out", "conclude", "finish", "view_of"]


def view_of(run: RunState, node: PlanNode) -> kinds.NodeView:
    """Return what a kind may know of a node."""
    return kinds.NodeView(
        node=node.definition,
        execution=run.next_execution(node.id),
        names=lambda: run.node_scope(node.id),
        now=run.now,
        is_recorded=run.info.recorded,
        executor=node.executor,
        members=lambda: member_ends(run, node.id),
        items=lambda: ended_items(run, node.id),
    )


def begin_without_program(run: RunState, queue: ReadyQueue, node: PlanNode) -> None:
    """Begin an execution for which no shell starts anything."""
    if node.kind.has_execution:
        raise AssertionError(f"{node.id}: a kind that has executions begins with Launch")
    execution = run.next_execution(node.id)
    state = run.transition(node.id, NodeStatus.RUNNING)
    state.execution_id = execution
    state.execution_count += 1
    state.started_at = run.now
    state.launched_at = state.completed_at = state.duration_seconds = state.deadline = None
    state.waits_until = None
    state.disruptions = 0
    state.error = None
    if node.timeout is not None:
        queue.set_deadline(node.id, run.now + node.timeout)


def finish(
    run: RunState,
    queue: ReadyQueue,
    node: PlanNode,
    output: dict[str, Any] | None,
    at: float,
    stored: StoredOutput | None = None,
) -> None:
    """Let the kind decide about a node whose program succeeded, or whose wait is over."""
    try:
        decision = node.kind.finish(view_of(run, node), output)
    except expressions.ExpressionError as error:
        decision = kinds.Fail(NodeReason.CONDITION_ERROR, str(error))
    if stored is not None and isinstance(decision, kinds.Complete):
        ref = OutputRef(size=stored.size, digest=stored.digest)
        _accept(run, queue, node, decision.output, stored.verdict, at, ref)
        return
    carry_out(run, queue, node, decision, at)


def carry_out(
    run: RunState, queue: ReadyQueue, node: PlanNode, decision: kinds.Decision, at: float
) -> None:
    """Carry out a decision about a node that runs."""
    match decision:
        case kinds.Complete(output):
            _judge(run, queue, node, output, at)
        case kinds.Fail(reason, message, is_retryable):
            fail(run, queue, node.id, at, reason, message, retryable=is_retryable)
        case kinds.Wait(reason, message, until, verb):
            if node.kind.has_execution:
                raise AssertionError(f"{node.id}: a kind that has executions does not wait")
            state = run.touch(node.id)
            if verb:
                message = f"{message}: {run.info.command} {verb} {run.info.name} {node.id}"
                run.emit(EventType.NORMAL, EventReason.NODE_WAITING, message, node.id)
            state.reason, state.message = reason, shorten(message.removeprefix(": "))
            state.waits_until = None if until is None else round(until, 3)
            queue.set_timers(node.id, state)
        case kinds.Skip(reason, message):
            skip(run, node.id, reason, message)
        case kinds.Spawn():
            run.spawned.append(node.id)
        case kinds.Launch():
            raise AssertionError(f"{node.id}: a node that runs is not launched again")


# Verdicts


class _Threshold(NamedTuple):
    value: float | None
    is_own: bool


def _judge(
    run: RunState, queue: ReadyQueue, node: PlanNode, output: dict[str, Any], at: float
) -> None:
    """Have the output checked against its contract, at once or by an answer that comes later."""
    contract = node.definition.output_contract
    is_group = contract is None and node.id in run.plan.members  # its members' were checked
    if is_group or node.id in run.plan.for_each:  # and those of items
        complete(run, node.id, output, at)
        return
    threshold = _threshold(run, node)
    question = OutputQuestion(
        node=node.id,
        execution=run.next_execution(node.id),
        output=output,
        produces=tuple(contract.produces) if contract is not None else (),
        schema=contract.schema_ if contract is not None else None,
        quality_threshold=threshold.value,
        is_own_threshold=threshold.is_own,
        quality_field=contract.quality_field if contract is not None else "quality_score",
    )
    verdict = answer(question) if is_small(question) else run.questions.verdicts.ask(question)
    if verdict is not None:
        _accept(run, queue, node, output, verdict, at)
        return
    run.judging[node.id] = Judging(question.execution, output, at)
    state = run.touch(node.id)
    state.deadline = None
    state.reason, state.message = NodeReason.JUDGING.value, "its output is being checked"


def asked_of(run: RunState, node: PlanNode) -> contracts.AskedOutput:
    """Return what is asked of a node's output where it rests in the store."""
    contract = node.definition.output_contract
    reads = run.plan.read_of_outputs[node.id]
    threshold = _threshold(run, node)
    return contracts.AskedOutput(
        read=reads.read,
        present=reads.present,
        produces=tuple(contract.produces) if contract is not None else (),
        schema=contract.schema_ if contract is not None else None,
        quality_threshold=threshold.value,
        is_own_threshold=threshold.is_own,
        quality_field=contract.quality_field if contract is not None else "quality_score",
    )


def _threshold(run: RunState, node: PlanNode) -> _Threshold:
    contract = node.definition.output_contract
    if contract is not None and contract.quality_threshold is not None:
        return _Threshold(contract.quality_threshold, is_own=True)
    everywhere = run.context.get("quality_threshold")
    is_number = isinstance(everywhere, int | float) and not isinstance(everywhere, bool)
    return _Threshold(everywhere if is_number else None, is_own=False)


def conclude(
    run: RunState, queue: ReadyQueue, node: PlanNode, verdict: contracts.OutputVerdict
) -> None:
    """Take in the verdict about the output of a node that waits for it."""
    judging = run.judging.pop(node.id, None)
    if judging is not None:
        _accept(run, queue, node, judging.output, verdict, judging.at)


def _accept(
    run: RunState,
    queue: ReadyQueue,
    node: PlanNode,
    output: dict[str, Any],
    verdict: contracts.OutputVerdict,
    at: float,
    ref: OutputRef | None = None,
) -> None:
    state = run.touch(node.id)
    if state.quality_score != verdict.quality_score:
        state.quality_score = verdict.quality_score
    if not verdict.ok:
        state.contract_fulfilled = False
        message = "; ".join(str(breach) for breach in verdict.breaches)
        fail(run, queue, node.id, at, verdict.reason, message)
        return
    if node.map and not run.items.has_room(node.map, output):
        most = MAX_OUTPUTS_BYTES // 1024
        message = f"the outputs of all items have more than {most} KB together: hand over less"
        fail(run, queue, node.id, at, NodeReason.OUTPUT_TOO_LARGE, message, retryable=False)
        return
    if node.definition.output_contract is not None:
        state.contract_fulfilled = True
    if ref is not None:
        state.output_ref = ref
    complete(run, node.id, output, at)
