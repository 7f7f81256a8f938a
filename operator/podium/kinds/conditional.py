"""conditional: a node that chooses a route by expressions. It has no program and takes no slot."""

from collections.abc import Iterable
from typing import Any

from podium import expressions
from podium.api.problems import Problem
from podium.api.reasons import NodeReason
from podium.api.workflow import Node
from podium.kinds.base import (
    GROUP_FIELDS,
    PROGRAM_FIELDS,
    Complete,
    Decision,
    DeclaredOutput,
    Fail,
    NodeView,
    Source,
    unused_fields,
)

__all__ = ["Conditional"]


class Conditional:
    """Takes the first case whose expression is true, else the default; its output is the route."""

    holds_slot = False
    has_execution = False
    runs_program = False

    def check(self, node: Node) -> Iterable[Problem]:
        """Check that there is something to choose from, and nothing that needs a program."""
        why = "a node of type conditional runs no program and has no use of it"
        yield from unused_fields(node, ("config", *PROGRAM_FIELDS), why)
        yield from unused_fields(node, GROUP_FIELDS, "only a node of type parallel_group has it")
        if not node.cases:
            message = "is missing: write a list of cases, as [{when: EXPRESSION, value: NAME}]"
            yield Problem(("cases",), message)

    def expressions(self, node: Node) -> Iterable[Source]:
        """Return the expressions of the cases."""
        for position, case in enumerate(node.cases):
            yield Source(("cases", position, "when"), case.when)

    def output_fields(self, node: Node) -> DeclaredOutput:
        """Return the route, with its possible values."""
        routes = {case.value for case in node.cases}
        if node.default is not None:
            routes.add(node.default)
        return DeclaredOutput(frozenset({"route"}), is_closed=True, routes=frozenset(routes))

    def start(self, view: NodeView) -> Decision:
        """Choose at once."""
        node, scope = view.node, view.scope
        for position, case in enumerate(node.cases):
            try:
                holds = expressions.evaluate_condition(expressions.parse(case.when), scope)
            except expressions.ExpressionError as error:
                raise expressions.ExpressionError(f"cases[{position}].when: {error}") from None
            if holds:
                return Complete({"route": case.value})
        if node.default is not None:
            return Complete({"route": node.default})
        return Fail(NodeReason.NO_CASE, "no case holds and there is no default: add a default")

    def finish(self, view: NodeView, output: dict[str, Any] | None) -> Decision:  # noqa: ARG002
        """Complete with the output; `start` never leaves it running."""
        return Complete(output or {})
