"""What `approve` and `reject` share, of runs of this machine and of a cluster."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from podium.api.approvals import MAX_COMMENT
from podium.api.reasons import NodeReason
from podium.api.run import NodeStatus, WorkflowRunStatus
from podium.cli.output import CliError
from podium.cli.values import context_of

__all__ = [
    "Asked",
    "answer_options",
    "comment_option",
    "find_asked",
    "outcome_of",
    "values_of",
    "waiting",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Asked(NamedTuple):
    """What waits for a decision."""

    node: str
    execution: str
    """A decision is about this execution and no other one."""


def _check_comment(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if len(value) > MAX_COMMENT:
        raise CliError(f"--comment: has {len(value)} characters, {MAX_COMMENT} is the limit")
    return value


comment_option = click.option(
    "--comment",
    default="",
    metavar="TEXT",
    callback=_check_comment,
    help="The reason; it is recorded with the decision.",
)
_value_option = click.option(
    "-v",
    "--value",
    "values",
    multiple=True,
    metavar="KEY=VALUE",
    help="Fill in a field that the node asks for; the value is YAML 1.2, or @FILE. a.b=1 nests.",
)
_file_option = click.option(
    "--values-file", metavar="FILE", help="YAML or JSON file of fields; -v comes after."
)


def answer_options(command: _Command) -> _Command:
    """Add the options of who approves."""
    return comment_option(_value_option(_file_option(command)))


def values_of(values: tuple[str, ...], file: str | None) -> dict[str, Any]:
    """Return the fields that the options fill in. Raises `CliError` naming the option."""
    return context_of({}, file, values, (), options=("-v", "--values-file"))


def waiting(status: WorkflowRunStatus) -> dict[str, str]:
    """Return the nodes that wait for a decision, with their executions."""
    return {
        node: state.execution_id
        for node, state in status.nodes.items()
        if state.status is NodeStatus.RUNNING
        and state.reason == NodeReason.WAITING_FOR_APPROVAL
        and state.execution_id is not None
    }


def find_asked(run: str, status: WorkflowRunStatus, node: str | None) -> Asked:
    """Return what is to be decided: NODE, or the one that waits. Raises `CliError`."""
    found = waiting(status)
    if node is None and len(found) == 1:
        return Asked(*next(iter(found.items())))
    names = ", ".join(list(found)[:10])
    waits = f"what waits is {names}" if found else "nothing waits for approval"
    if node is None:
        raise CliError(f"run {run}: {f'name the NODE: {waits}' if found else waits}")
    if node not in status.nodes:
        raise CliError(f"run {run} has no node {node!r:.80}: {waits}")
    if node not in found:
        state = status.nodes[node]
        raise CliError(f"{node} of run {run} does not wait ({state.status.value}): {waits}")
    return Asked(node, found[node])


def outcome_of(status: WorkflowRunStatus, asked: Asked) -> str:
    """Return what became of what was asked: approved, rejected, or empty: it is not decided."""
    state = status.nodes.get(asked.node)
    if state is None or state.execution_id != asked.execution:
        return ""
    if state.status is NodeStatus.COMPLETED:
        return "approved"
    return "rejected" if state.reason == NodeReason.REJECTED else ""
