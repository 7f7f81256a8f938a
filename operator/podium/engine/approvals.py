"""Approvals: what a person's decision makes of a node that waits for it."""

from podium import kinds
from podium.api.reasons import EventReason, NodeReason
from podium.api.run import HANDLED_REQUESTS, NodeStatus, WorkflowRunStatus
from podium.engine.decisions import carry_out, view_of
from podium.engine.model import ApprovalRequest, Control, EventType
from podium.engine.plan import Plan, PlanNode
from podium.engine.ready_queue import ReadyQueue
from podium.engine.state import RunState

__all__ = ["answer_approval", "why_not_asked"]


def answer_approval(
    run: RunState, queue: ReadyQueue, request: ApprovalRequest, control: Control
) -> None:
    """Carry a decision out once, or refuse it: then the node goes on waiting.

    It counts for the execution that it names and for no other one.
    """
    status = run.status
    if request.id in status.handled_requests:
        return
    run.run_changed = True
    status.handled_requests = [*status.handled_requests, request.id][-HANDLED_REQUESTS:]
    node = run.plan.nodes.get(request.node)
    refusal = why_not_asked(run.plan, run.status, request.node, request.execution)
    is_over = control.terminate or (control.cancel and request.node not in run.plan.finally_nodes)
    if is_over and not refusal:
        refusal = f"{request.node}: the run is cancelled"
    if refusal or node is None or not isinstance(node.kind, kinds.Answerable):
        run.emit(EventType.WARNING, EventReason.APPROVAL_REFUSED, refusal)
        return
    _answer(run, queue, node, node.kind, request)


def _answer(
    run: RunState,
    queue: ReadyQueue,
    node: PlanNode,
    kind: kinds.Answerable,
    request: ApprovalRequest,
) -> None:
    given = request.answer
    try:
        decision = kind.answer(view_of(run, node), given)
    except kinds.AnswerRefusedError as refusal:
        message = f"{node.id}: {refusal}"
        run.emit(EventType.WARNING, EventReason.APPROVAL_REFUSED, message)
        return
    if isinstance(decision, kinds.Complete):
        comment = f": {given.comment}" if given.comment else ""
        message = f"by {given.shown_by}{comment}"
        run.emit(EventType.NORMAL, EventReason.APPROVED, message, node.id)
    carry_out(run, queue, node, decision, run.now)


def why_not_asked(plan: Plan, status: WorkflowRunStatus, name: str, execution: str) -> str:
    """Return why a decision about a node is not asked for; empty: it is."""
    waiting = [node for node in plan.nodes if node in plan.approvals and _waits(status, node)]
    waits = f"what waits is {', '.join(waiting[:10])}" if waiting else "nothing waits for approval"
    node = plan.nodes.get(name)
    if node is None:
        return f"unknown node {name!r:.80}: {waits}"
    if name not in plan.approvals:
        return f"{name} is of type {node.definition.type.value}, not approval: {waits}"
    if name not in waiting:
        return f"{name} is {status.nodes[name].status.value} and does not wait: {waits}"
    now = status.nodes[name].execution_id
    if execution != now:
        return (
            f"{name}: {execution!r:.80} is not what waits now, which is {now}: look at what it asks"
            " and decide again"
        )
    return ""


def _waits(status: WorkflowRunStatus, node: str) -> bool:
    state = status.nodes.get(node)
    return (
        state is not None
        and state.status is NodeStatus.RUNNING
        and state.reason == NodeReason.WAITING_FOR_APPROVAL
    )
