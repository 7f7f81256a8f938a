"""task: a node that an executor runs as a program. Types `phase` and `custom`."""

from collections.abc import Iterable, Mapping
from typing import Any

from podium import executors, expressions
from podium.api.executors import ExecutorSpec
from podium.api.problems import Problem
from podium.api.reasons import NodeReason
from podium.api.templates import strings
from podium.api.workflow import Node
from podium.kinds.base import (
    GROUP_FIELDS,
    Complete,
    Decision,
    DeclaredOutput,
    Fail,
    Launch,
    NodeView,
    Source,
    by_contract,
    unused_fields,
)
from podium.kinds.pod_fields import Fields, PodFieldError, fill, pod_templates

__all__ = ["Task"]


class Task:
    """Runs a program, whose output is the node's."""

    holds_slot = True
    has_execution = True
    runs_program = True

    def check(self, node: Node) -> Iterable[Problem]:
        """Check the executor and its config."""
        yield from unused_fields(
            node, ("cases", "default"), "only a node of type conditional has it"
        )
        others = [name for name in GROUP_FIELDS if name != "max_parallel"]
        yield from unused_fields(node, others, "only a node of type parallel_group has it")
        if node.for_each is None:
            why = "only a node with forEach, or of type parallel_group, has it"
            yield from unused_fields(node, ("max_parallel",), why)
        if node.executor is None:
            known = ", ".join(executors.names())
            yield Problem(("executor",), f"is missing: name one of {known}")
        elif (executor := executors.get(node.executor)) is not None:
            yield from executor.validate(node)
        # Those that are resources the definition brings with it: `podium.dag.checks` knows them.

    def expressions(self, node: Node) -> Iterable[Source]:
        """Return the templates of the config, and of what it says of its Pod."""
        executor = executors.get(node.executor or "")
        config = node.config if executor is None else executor.expandable(node.config)
        for path, text in strings(config, ("config",)):
            if expressions.has_template(text):
                yield Source(path, text, is_template=True)
        for path, text in pod_templates(node):
            yield Source(path, text, is_template=True)

    def output_fields(self, node: Node) -> DeclaredOutput:
        """Return what the output contract says."""
        return by_contract(node)

    def start(self, view: NodeView) -> Decision:
        """Launch the program, the templates of its config filled in."""
        node = view.node
        try:
            fields = fill(node, view.names)
        except PodFieldError as error:
            return Fail(NodeReason.CONFIG, str(error))
        if view.executor is not None:
            return _start_custom(view, view.executor, fields)
        executor = executors.get(node.executor or "")
        config: Mapping[str, Any] = node.config
        if executor is not None:
            try:
                expandable = executor.expandable(config)
                if any(expressions.has_template(text) for _, text in strings(expandable)):
                    config = {**config, **_expand(dict(expandable), view.scope)}
            except expressions.ExpressionError as error:
                raise expressions.ExpressionError(f"config: {error}") from None
        is_recorded = view.is_recorded and node.executor in executors.PERSONA_EXECUTORS
        warnings = ("answers were recorded: no model was asked",) if is_recorded else ()
        return Launch(config, warnings=warnings, fields=fields)

    def finish(self, view: NodeView, output: dict[str, Any] | None) -> Decision:  # noqa: ARG002
        """Complete with what the program handed over."""
        return Complete(output or {})


def _start_custom(view: NodeView, spec: ExecutorSpec, fields: Fields) -> Decision:
    """Launch what an executor that is a resource makes of the config."""
    node = view.node
    known = {"id": node.id, "executionId": view.execution}
    try:
        filled = executors.custom.fill(node.executor or "", spec, node.config, view.scope, known)
    except executors.custom.ConfigBreachError as error:
        return Fail(NodeReason.CONFIG, str(error))
    return Launch(filled.config, template=filled.template, fields=fields)


def _expand(value: Any, scope: Mapping[str, Any]) -> Any:
    """Fill in the templates of a config, once, in the parsed tree."""
    if isinstance(value, str):
        if expressions.has_template(value):
            return expressions.parse_template(value).render(scope)
        return value
    if isinstance(value, Mapping):
        return {key: _expand(item, scope) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_expand(item, scope) for item in value]
    return value
