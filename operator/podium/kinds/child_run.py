"""workflow: a node that runs another Workflow as a child of its run. It takes no slot."""

from collections.abc import Iterable, Mapping
from typing import Any

from podium import expressions
from podium.api.problems import Problem
from podium.api.workflow import Node
from podium.kinds.base import PROGRAM_FIELDS, Decision, JobShape, Launch, NodeView, unused_fields
from podium.kinds.task import Task

__all__ = ["MAX_FILLED", "ChildRun"]

MAX_FILLED = 256 * 1024
"""Characters of what templates in a context are filled in with, as JSON."""
_OF_ANY_EXECUTION = (
    "executor",
    "retry_policy",
    "timeout_seconds",
    "output_contract",
    "compensation",
)
_PROGRAM_FIELDS = tuple(name for name in PROGRAM_FIELDS if name not in _OF_ANY_EXECUTION)


class ChildRun(Task):
    """Runs another Workflow; what that hands over is the node's output."""

    holds_slot = False
    runs_program = False

    def check(self, node: Node) -> Iterable[Problem]:
        """Check the config, and that nothing is said of a program."""
        why = "a node with the executor workflow runs no program of its own and has no use of it"
        yield from unused_fields(node, _PROGRAM_FIELDS, why)
        yield from super().check(node)

    def start(self, view: NodeView) -> Decision:
        """Start the child, the templates of its context filled in."""
        config = dict(view.node.config)
        if "context" in config:
            try:
                config["context"] = _Filling(view.scope).of(config["context"])
            except expressions.ExpressionError as error:
                raise expressions.ExpressionError(f"config.context: {error}") from None
        return Launch(config, shape=JobShape.CHILD)


class _Filling:
    """Fills in templates; a string that is one `${{ }}` keeps its type."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope
        self._room = MAX_FILLED

    def of(self, value: Any) -> Any:
        """Return a value with its templates filled in."""
        if isinstance(value, str) and expressions.has_template(value):
            return self._template(value)
        if isinstance(value, Mapping):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(item) for item in value]
        return value

    def _template(self, value: str) -> Any:
        template = expressions.parse_template(value)
        # Written as JSON even where the value itself is kept: many may name the same large one.
        text = template.render(self._scope)
        self._room -= len(text)
        if self._room < 0:
            raise expressions.ExpressionError(
                f"what is filled in has more than {MAX_FILLED:,} characters as JSON: hand over less"
            )
        is_one = len(template.parts) == 1 and template.expressions
        return template.expressions[0].evaluate(self._scope) if is_one else text
