"""Maps: how one begins, and what follows when an item of it ends (semantics.md 9)."""

from podium import expressions
from podium.api.names import item_path
from podium.api.reasons import NodeReason
from podium.api.run import NodeStatus
from podium.engine.decisions import finish
from podium.engine.item_ends import is_ended, items_of
from podium.engine.item_list import ItemsError
from podium.engine.outcomes import fail
from podium.engine.plan import PlanNode
from podium.engine.ready_queue import ReadyQueue
from podium.engine.state import RunState

__all__ = ["end_item", "finish_map", "open_map"]


def open_map(run: RunState, queue: ReadyQueue, map_: str) -> None:
    """Have the items of a map that runs start, once its list is known."""
    state = run.status.nodes[map_]
    try:
        is_known = run.items.evaluate(map_)
    except ItemsError as error:
        fail(run, queue, map_, run.now, error.reason, str(error), retryable=False)
        return
    except expressions.ExpressionError as error:
        message = f"forEach: {error}"
        fail(run, queue, map_, run.now, NodeReason.CONDITION_ERROR, message, retryable=False)
        return
    if not is_known:
        if run.questions.is_pending(map_) and state.reason != NodeReason.JUDGING:
            run.touch(map_)
            state.reason, state.message = NodeReason.JUDGING.value, "forEach is being evaluated"
        return
    if state.reason == NodeReason.JUDGING:
        run.touch(map_)
        state.reason = state.message = ""
    for path in run.items.open[map_]:
        if run.status.nodes[path].status is NodeStatus.READY:
            queue.add(path)
    queue.feed(map_)
    finish_map(run, queue, map_)


def end_item(run: RunState, queue: ReadyQueue, node: PlanNode) -> None:
    """Take in that an item has ended, or that what was stopped of one is gone."""
    map_, path = node.map, item_path(node.map, node.item)
    state = run.status.nodes.get(path)
    if run.status.nodes[map_].status is not NodeStatus.RUNNING:
        if run.status.nodes[map_].status.ended:
            run.ended.append(map_)  # what waited for the end of its items is decided
        return
    items = items_of(run.status.nodes[map_])
    if state is None or not state.status.ended or is_ended(items, node.item):
        return
    run.items.end(map_, node.item)
    if state.status is NodeStatus.FAILED and run.items.is_draining(map_):
        run.items.drop_waiting(map_, NodeReason.ITEM_FAILED)
    queue.feed(map_)
    finish_map(run, queue, map_)


def finish_map(run: RunState, queue: ReadyQueue, map_: str) -> None:
    """Let a map end once all of its items have, or none may start any more."""
    is_open = run.items.is_open(map_)
    if is_open and not run.items.open[map_] and not run.items.has_unstarted(map_):
        finish(run, queue, run.plan.nodes[map_], None, run.now)
