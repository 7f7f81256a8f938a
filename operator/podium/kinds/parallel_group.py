"""parallel_group: a graph inside a node. It has no program and takes no slot; its members do."""

from collections.abc import Iterable
from typing import Any

from podium.api.node_state import NodeStatus
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
    unused_fields,
)

__all__ = ["ParallelGroup"]

_PROGRAM_FIELDS = (
    *("executor", "config", "start_timeout_seconds", "input_as", "resources", "pod"),
    *("max_disruptions", "force_restart_after_seconds", "outputs", "large_output", "artifacts"),
    *("cases", "default", "compensation"),
)
_SHOWN = 5


class ParallelGroup:
    """Runs its members, each when it may; its output is theirs, by id."""

    holds_slot = False
    has_execution = False
    runs_program = False

    def check(self, node: Node) -> Iterable[Problem]:
        """Check that there are members, and nothing that needs a program of its own."""
        why = "a node of type parallel_group runs no program and has no use of it"
        yield from unused_fields(node, _PROGRAM_FIELDS, why)
        if not node.nodes:
            message = "is missing: write a list of nodes, as the workflow has one"
            yield Problem(("nodes",), message)
        elif node.min_success is not None and node.min_success > len(node.nodes):
            message = f"is {node.min_success}, and the group has {len(node.nodes)} nodes: lower it"
            yield Problem(("minSuccess",), message)

    def expressions(self, node: Node) -> Iterable[Source]:  # noqa: ARG002 - its members have theirs
        """Return none: its members have theirs."""
        return ()

    def output_fields(self, node: Node) -> DeclaredOutput:
        """Return the ids of its members."""
        return DeclaredOutput(frozenset(member.id for member in node.nodes), is_closed=True)

    def start(self, view: NodeView) -> Decision:  # noqa: ARG002 - nothing to look at
        """Have its members run."""
        return Spawn()

    def finish(self, view: NodeView, output: dict[str, Any] | None) -> Decision:  # noqa: ARG002
        """Complete unless a member failed, or with enough of them (`minSuccess`)."""
        members = view.members()
        completed = [each for each in members if each.status is NodeStatus.COMPLETED]
        bad = [each for each in members if each.is_bad]
        wanted = view.node.min_success
        if bad and (wanted is None or len(completed) < wanted):
            failed = [each for each in bad if each.status is NodeStatus.FAILED] or bad
            shown = ", ".join(
                f"{each.id} ({each.reason or each.status.value})" for each in failed[:_SHOWN]
            )
            more = len(failed) - _SHOWN
            message = f"failed: {shown}" + (f" and {more} more" if more > 0 else "")
            if wanted is not None:
                message = f"{len(completed)} completed, and minSuccess is {wanted}; {message}"
            return Fail(NodeReason.MEMBER_FAILED, message, is_retryable=True)
        return Complete({each.id: each.output for each in completed})
