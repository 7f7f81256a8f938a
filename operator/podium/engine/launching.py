"""Launching: what a node that may start is handed, and what keeps it from starting."""

from collections.abc import Mapping
from typing import Any

from podium import executors, expressions
from podium.api.reasons import NodeReason
from podium.engine.context import InputProblem, node_input
from podium.engine.joins import Joins
from podium.engine.model import Launch
from podium.engine.outcomes import fail_unstarted
from podium.engine.plan import PlanNode
from podium.engine.ready_queue import ReadyQueue
from podium.engine.state import RunState

__all__ = ["launch_ready"]


def launch_ready(run: RunState, queue: ReadyQueue, joins: Joins) -> None:
    """Give out launches while there is room. The order is the definition's."""
    while (name := queue.take()) is not None:
        _launch(run, queue, run.plan.nodes[name])
        joins.propagate()


def _launch(run: RunState, queue: ReadyQueue, node: PlanNode) -> None:
    state = run.status.nodes[node.id]
    execution = run.next_execution(node.id)
    try:
        given = node_input(
            run.plan, run.info, node, execution, run.status.nodes, run.outputs, run.context
        )
    except InputProblem as problem:
        fail_unstarted(run, queue, node.id, NodeReason.INPUT_CONTRACT, str(problem))
        return
    try:
        config = _config(run, node)
    except expressions.ExpressionError as error:
        fail_unstarted(run, queue, node.id, NodeReason.CONDITION_ERROR, f"config: {error}")
        return
    warnings = [f"requiredFields: {waived}" for waived in given.waived]
    if run.info.recorded and node.definition.executor in executors.PERSONA_EXECUTORS:
        warnings.append("answers were recorded: no model was asked")
    if warnings != state.warnings:
        run.touch(node.id).warnings = warnings
    run.launch(Launch(node.id, execution, state.disruptions, config, given.document))


def _config(run: RunState, node: PlanNode) -> Mapping[str, Any]:
    """Return the node's config with its templates filled in, once, in the parsed tree."""
    config = node.definition.config
    executor = executors.get(node.definition.executor or "")
    if executor is None:
        return config
    return {**config, **_expand(dict(executor.expandable(config)), run.node_scope(node.id))}


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
