"""forEach: a node that runs once for each item of a list. It takes no slot; its items do."""

import re
from collections.abc import Iterable
from typing import Any

from podium import expressions
from podium.api.child_runs import CHILD_EXECUTOR
from podium.api.names import MAX_ITEMS
from podium.api.problems import Problem
from podium.api.reasons import NodeReason
from podium.api.workflow import Node
from podium.kinds.base import (
    Complete,
    Decision,
    DeclaredOutput,
    Fail,
    NodeView,
    Source,
    Spawn,
)
from podium.kinds.task import Task

__all__ = ["ForEach", "decides_per_item", "may_fail", "most_items"]

MAX_CHILDREN = 1_000
"""Items that are child runs: each is a run of its own."""

_PERCENTAGE = re.compile(r"(100|[1-9]?[0-9])%")
_FIELDS = frozenset({"items", "succeeded", "failed", "skipped"})
_PER_ITEM = frozenset({"item", "index"})


class ForEach:
    """Runs its node for each item; its output is theirs, in order."""

    holds_slot = False
    has_execution = False

    def __init__(self, task: Task) -> None:
        self._task = task
        self.runs_program = task.runs_program

    def check(self, node: Node) -> Iterable[Problem]:
        """Check the list, what may fail of it, and what an item cannot have."""
        yield from self._task.check(node)
        if node.large_output:
            message = "items hand over what is small, 256 KB together: leave it out"
            yield Problem(("largeOutput",), message)
        if node.artifacts is not None and node.artifacts.out:
            message = "items hand over no artifacts: leave it out, or store files elsewhere"
            yield Problem(("artifacts", "out"), message)
        if node.compensation is not None:
            yield Problem(("compensation",), "what items did is not undone: leave it out")
        allowed = node.allowed_failures
        if isinstance(allowed, str) and not _PERCENTAGE.fullmatch(allowed):
            message = f"{allowed!r:.40} is not a percentage: write 10%, or a number of items"
            yield Problem(("allowedFailures",), message)
        elif isinstance(allowed, int) and not 0 <= allowed <= MAX_ITEMS:
            message = f"must be a number from 0 to {MAX_ITEMS}, or a percentage such as 10%"
            yield Problem(("allowedFailures",), message)

    def expressions(self, node: Node) -> Iterable[Source]:
        """Return the list, and the templates of its items."""
        if node.for_each is not None:
            yield Source(("forEach",), node.for_each)
        yield from self._task.expressions(node)

    def output_fields(self, node: Node) -> DeclaredOutput:  # noqa: ARG002 - the same of all
        """Return the outputs of the items, and how many ended how."""
        return DeclaredOutput(_FIELDS, is_closed=True)

    def start(self, view: NodeView) -> Decision:  # noqa: ARG002 - the engine evaluates the list
        """Have its items run."""
        return Spawn()

    def finish(self, view: NodeView, output: dict[str, Any] | None) -> Decision:  # noqa: ARG002
        """Complete unless more items failed than may, or some never ran."""
        ends = view.items()
        missing = ends.count - ends.completed - ends.failed - ends.skipped
        if ends.failed <= may_fail(view.node, ends.count) and not missing:
            return Complete({})
        message = f"{ends.failed} of {ends.count} items failed"
        if view.node.allowed_failures is not None:
            message += f" (allowedFailures: {view.node.allowed_failures})"
        if ends.first_failed:
            message += f": {', '.join(ends.first_failed)}"
            more = ends.failed - len(ends.first_failed)
            message += f" and {more} more" if more > 0 else ""
        if missing:
            message += f"; {missing} did not run"
        return Fail(NodeReason.ITEM_FAILED, message)


def most_items(node: Node) -> int:
    """Return how many items a map may have."""
    return MAX_CHILDREN if node.executor == CHILD_EXECUTOR else MAX_ITEMS


def may_fail(node: Node, count: int) -> int:
    """Return how many of so many items may fail."""
    allowed = node.allowed_failures
    if allowed is None:
        return 0
    if isinstance(allowed, int):
        return allowed
    match = _PERCENTAGE.fullmatch(allowed)
    return 0 if match is None else count * int(match[1]) // 100


def decides_per_item(condition: expressions.Expression | None) -> bool:
    """Return whether a condition of a map reads the item, and so decides about each."""
    return condition is not None and any(
        reference.path[0] in _PER_ITEM for reference in condition.references
    )
