"""Launching: what a node that may start is handed, and what keeps it from starting."""

from podium import expressions, kinds
from podium.api.reasons import EventReason, NodeReason
from podium.dag import NEAREST
from podium.engine.context import InputError, node_input
from podium.engine.decisions import begin_without_program, carry_out, view_of
from podium.engine.joins import Joins
from podium.engine.model import EventType, Launch
from podium.engine.outcomes import fail, fail_unstarted
from podium.engine.plan import PlanNode
from podium.engine.ready_queue import ReadyQueue
from podium.engine.state import RunState

__all__ = ["launch_ready"]


def launch_ready(run: RunState, queue: ReadyQueue, joins: Joins) -> None:
    """Start nodes while there is room. The order is the definition's."""
    while (name := queue.take()) is not None:
        _start(run, queue, run.plan.nodes[name])
        joins.propagate()


def _start(run: RunState, queue: ReadyQueue, node: PlanNode) -> None:
    state = run.status.nodes[node.id]
    execution = run.next_execution(node.id)
    try:
        given = node_input(
            run.plan, run.info, node, execution, run.status.nodes, run.outputs, run.context
        )
    except InputError as problem:
        fail_unstarted(run, queue, node.id, NodeReason.INPUT_CONTRACT, str(problem))
        return
    try:
        decision = node.kind.start(view_of(run, node))
    except expressions.ExpressionError as error:
        _fail_start(run, queue, node, str(error))
        return
    warnings = [f"requiredFields: {waived}" for waived in given.waived]
    if isinstance(decision, kinds.Launch):
        warnings += decision.warnings
    if warnings != state.warnings:
        run.touch(node.id).warnings = warnings
    if given.omitted != state.omitted_outputs:
        _note_omitted(run, node.id, given.omitted)
    if isinstance(decision, kinds.Launch):
        run.launch(
            Launch(
                node.id,
                execution,
                state.disruptions,
                decision.config,
                given.document,
                decision.shape,
            )
        )
        return
    begin_without_program(run, queue, node)
    carry_out(run, queue, node, decision, run.now)


def _fail_start(run: RunState, queue: ReadyQueue, node: PlanNode, message: str) -> None:
    """Fail a node whose kind could not decide; for one without a program, to decide is to run."""
    if node.kind.has_execution:
        fail_unstarted(run, queue, node.id, NodeReason.CONDITION_ERROR, message)
        return
    begin_without_program(run, queue, node)
    fail(run, queue, node.id, run.now, NodeReason.CONDITION_ERROR, message, retryable=False)


def _note_omitted(run: RunState, node: str, number: int) -> None:
    """Count the outputs that a node is not handed; the first node of a run gets an Event."""
    run.touch(node).omitted_outputs = number
    if run.has_omitted_outputs:
        return
    run.has_omitted_outputs = True
    message = (
        f"outputs of {number} ancestors are not handed over: of those that are not direct"
        f" predecessors only the {NEAREST} nearest are; name what a node needs in"
        " inputContract.include (omittedOutputs counts them on each node)"
    )
    run.emit(EventType.WARNING, EventReason.OUTPUTS_OMITTED, message, node)
