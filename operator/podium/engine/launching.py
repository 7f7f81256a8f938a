"""Launching: what a node that may start is handed, and what keeps it from starting."""

from podium import expressions, kinds
from podium.api.reasons import EventReason, NodeReason
from podium.api.run import NodeStatus
from podium.dag import NEAREST
from podium.engine.context import InputError, NodeInput, node_input
from podium.engine.decisions import begin_without_program, carry_out, view_of
from podium.engine.holds import holds
from podium.engine.joins import Joins
from podium.engine.maps import finish_map
from podium.engine.model import EventType, ItemOf, Launch
from podium.engine.outcomes import fail, fail_unstarted, finish_without_execution
from podium.engine.plan import PlanNode
from podium.engine.questions import LAUNCH_STEPS
from podium.engine.ready_queue import ReadyQueue
from podium.engine.state import RunState
from podium.engine.verdicts import (
    InputQuestion,
    KindQuestion,
    answer,
    is_small,
    is_small_config,
    read_by,
)

__all__ = ["launch_ready"]


def launch_ready(run: RunState, queue: ReadyQueue, joins: Joins) -> None:
    """Start nodes while there is room. The order is the definition's."""
    while run.questions.may_go_on(LAUNCH_STEPS) and (name := queue.take()) is not None:
        _start(run, queue, run.plan.nodes[name])
        if run.ended or run.spawned:
            joins.propagate()


def _start(run: RunState, queue: ReadyQueue, node: PlanNode) -> None:
    if node.id in run.plan.for_each:
        begin_without_program(run, queue, node)
        carry_out(run, queue, node, node.kind.start(view_of(run, node)), run.now)
        return
    state = run.status.nodes[node.id]
    execution = run.next_execution(node.id)
    item = own = None
    if node.map:
        if state.status is NodeStatus.READY and run.items.is_draining(node.map):
            run.items.drop_waiting(node.map, NodeReason.ITEM_FAILED)
            finish_map(run, queue, node.map)
            return
        values = run.items.values(node.map)
        own = {"item": values[node.item], "index": node.item}
        whole = run.status.nodes[node.map].execution_id or ""
        item = ItemOf(node.map, whole, node.item, len(values))
        if node.condition is not None and not _may_run(run, node, node.condition):
            return
    try:
        given = node_input(
            run.plan,
            run.info,
            node,
            execution,
            run.status.nodes,
            run.outputs,
            run.context,
            run.ending_for(node.place),
            own,
        )
        checked = _check_input(run, node, execution, given)
        decision = None if checked is None else _decide(run, node)
    except InputError as problem:
        fail_unstarted(run, queue, node.id, NodeReason.INPUT_CONTRACT, str(problem))
        return
    except expressions.ExpressionError as error:
        _fail_start(run, queue, node, str(error))
        return
    if checked is not None and decision is None and not run.questions.is_pending(node.id):
        return  # the next step goes on with it
    if checked is None or decision is None:
        what = "input is being checked" if checked is None else "expressions are being evaluated"
        _wait(run, node.id, f"its {what}")
        return
    warnings = [f"requiredFields: {waived}" for waived in checked]
    if isinstance(decision, kinds.Launch):
        warnings += decision.warnings
    if warnings != state.warnings:
        run.touch(node.id).warnings = warnings
    if given.omitted != state.omitted_outputs:
        _note_omitted(run, node.id, given.omitted)
    if isinstance(decision, kinds.Launch):
        granted, wrong = (None, "") if queue.limits is None else queue.limits.grant(node)
        if wrong:
            fail_unstarted(run, queue, node.id, NodeReason.BUDGET, wrong)
            return
        run.launch(
            Launch(
                node.id,
                execution,
                # A retry is not a restart of what was disrupted.
                state.disruptions if state.status is NodeStatus.RUNNING else 0,
                decision.config,
                given.document,
                decision.shape,
                decision.template,
                given.large,
                decision.fields,
                given.paths,
                item,
                granted,
            )
        )
        return
    if isinstance(decision, kinds.Fail) and node.kind.has_execution:
        fail_unstarted(run, queue, node.id, decision.reason, decision.message)
        return
    begin_without_program(run, queue, node)
    carry_out(run, queue, node, decision, run.now)


def _may_run(run: RunState, node: PlanNode, condition: expressions.Expression) -> bool:
    """Return whether the condition of an item holds; else it ended, or its answer is awaited."""
    if run.status.nodes[node.id].retry_count or run.status.nodes[node.id].execution_id is not None:
        return True  # it held
    try:
        held = holds(run, node.id, condition, run.node_scope(node.id))
    except expressions.ExpressionError as error:
        message = f"condition: {error}"
        finish_without_execution(
            run, node.id, NodeStatus.FAILED, NodeReason.CONDITION_ERROR, message
        )
        run.ended.append(node.id)
        return False
    if held is None:
        if run.questions.is_pending(node.id):
            _wait(run, node.id, "its condition is being evaluated")
        return False
    if not held:
        reason = NodeReason.CONDITION_FALSE
        finish_without_execution(run, node.id, NodeStatus.SKIPPED, reason, condition.source)
        run.ended.append(node.id)
    return held


def _check_input(
    run: RunState, node: PlanNode, execution: str, given: NodeInput
) -> list[str] | None:
    """Check an input against its contract, and return what was waived; None: not known yet.

    Raises `InputError`, whose message lists all that is wrong.
    """
    contract = node.definition.input_contract
    if contract is None or given.resolved is None:
        return []
    question = InputQuestion(
        number=run.questions.next_number(),
        node=node.id,
        execution=execution,
        resolved=given.resolved,
        required_fields=node.required_fields,
        schema=contract.schema_,
        waived=given.undone,
    )
    reply = answer(question) if is_small(question) else run.questions.ask(question)
    if reply is None:
        return None
    verdict = reply.input()
    if not verdict.ok:
        raise InputError("; ".join(str(breach) for breach in verdict.breaches))
    states = run.status.nodes
    waived = ((field, field.split(".")[0]) for field in verdict.waived)
    known = ((field, name, given.paths.get(name, name)) for field, name in waived)
    return [
        f"{field}: not demanded, because {name} is {states[source].status.value}"
        for field, name, source in known
        if source in states
    ]


def _decide(run: RunState, node: PlanNode) -> kinds.Decision | None:
    """Have the kind decide about the start; None: not known yet. Raises `ExpressionError`."""
    view = view_of(run, node)

    def start() -> kinds.Decision:
        own = view.executor
        if own is not None and not is_small_config(own, view.node.config):
            raise expressions.OutOfFuelError
        return node.kind.start(view)

    try:
        return run.questions.at_once(node.id, "start", start)
    except expressions.OutOfFuelError:
        read = [
            reference
            for source in node.kind.expressions(node.definition)
            for reference in source.references
        ]
    question = KindQuestion(
        number=run.questions.next_number(),
        node=node.id,
        execution=view.execution,
        definition=view.node,
        scope=read_by(read, view.scope),
        now=view.now,
        is_recorded=view.is_recorded,
        executor=view.executor,
    )
    reply = run.questions.ask(question)
    return None if reply is None else reply.decision()


def _wait(run: RunState, node: str, message: str) -> None:
    """Show that a node waits for an answer: it starts once that has come."""
    state = run.touch(node)
    state.reason, state.message = NodeReason.JUDGING.value, message


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
