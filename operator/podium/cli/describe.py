"""Runs and nodes in words: for the views of a run, its summary and the tables."""

import os
import shlex
from collections.abc import Iterator

from podium.api.base import format_duration
from podium.api.names import split_item
from podium.api.reasons import EventReason, NodeReason
from podium.api.run import NodeState, NodeStatus, WorkflowRunStatus
from podium.cli.output import escape_control

__all__ = [
    "CONCLUDING_EVENTS",
    "RUN_EVENTS",
    "asked_text",
    "copied_text",
    "counted",
    "elapsed",
    "reason_text",
    "shell_quoted",
    "spent",
]

RUN_EVENTS = (
    EventReason.RERUN,
    EventReason.RERUN_REFUSED,
    EventReason.RESTORED,
    EventReason.RESTORE_REFUSED,
    EventReason.RUN_PAUSED,
    EventReason.RUN_ROLLING_BACK,
    EventReason.RUN_ROLLED_BACK,
    EventReason.RUN_FINISHING,
    EventReason.OUTPUTS_OMITTED,
    EventReason.NODE_NOT_GONE,
)
"""Events that are shown as news of the run."""
CONCLUDING_EVENTS = (
    EventReason.RUN_ROLLING_BACK,
    EventReason.RUN_ROLLED_BACK,
    EventReason.RUN_FINISHING,
)
"""Those of them that come of the ends of nodes, and are shown after these."""


def elapsed(state: NodeState, now: float) -> str:
    """Return how long a node's latest execution took, or takes so far; empty: it never began."""
    if state.duration_seconds is not None:
        return format_duration(state.duration_seconds)
    if state.status is NodeStatus.RUNNING and state.started_at is not None:
        return format_duration(max(0.0, now - state.started_at))
    return ""


def copied_text(status: WorkflowRunStatus, node: str, state: NodeState) -> str:
    """Return why a node that was copied from another run has no log; empty: it was not.

    An item is copied with its map, of which others may have run here since.
    """
    origin, item = state.copied_from, split_item(node)
    whole = status.nodes.get(item[0]) if item is not None else None
    if origin is None and whole is not None and state.execution_count == 0:
        before = (record.copied_from for record in whole.history)
        origin = whole.copied_from or next(filter(None, before), None)
    if origin is None:
        return ""
    return f"node {node} did not run here, it was copied: its log is that of the run {origin.run}"


def reason_text(state: NodeState) -> str:
    """Return a node's reason and message, in a line."""
    words = f"{state.reason}: {state.message}" if state.message else state.reason
    return escape_control(" ".join(words.split()))


def asked_text(status: WorkflowRunStatus) -> Iterator[str]:
    """Return what waits for a person, for whom, and the command that decides, a line each."""
    for node, state in status.nodes.items():
        if state.status is NodeStatus.RUNNING and state.reason == NodeReason.WAITING_FOR_APPROVAL:
            yield escape_control(f"{node} waits for approval: {' '.join(state.message.split())}")


def counted(number: int, what: str) -> str:
    """Return a number with its noun: `1 node`, `2 nodes`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def shell_quoted(text: str) -> str:
    """Quote a string so that it can be pasted into a shell, whatever characters it has."""
    if text.isprintable():
        return shlex.quote(text)
    raw = os.fsencode(text)
    written = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}" for byte in raw
    )
    return f"$'{written}'"


def spent(state: NodeState | WorkflowRunStatus) -> str:
    """Describe what personas spent, empty if they asked no model."""
    usage = state.token_usage
    if usage is None:
        return ""
    cost = "" if state.cost is None else f", cost {state.cost:.6f}".rstrip("0").rstrip(".")
    return f"{counted(usage.calls, 'request')}, {usage.total_tokens:,} tokens{cost}"
