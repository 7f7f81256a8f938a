"""The report at the end of a run: how it went, and which commands show or do more."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import orjson

from podium.api.base import shorten
from podium.api.run import NodeStatus, WorkflowRunStatus
from podium.cli.describe import counted, shell_quoted, spent
from podium.cli.items import is_item, nodes_in_order
from podium.engine import failed_nodes
from podium.local.shell import LocalRun
from podium.local.store import find_state_dir

__all__ = ["summary"]

SHOWN_CHARACTERS = 200
"""Of a value that the run hands over; `podium get` shows all of it."""


def summary(local: LocalRun) -> Iterable[str]:
    """Return the lines that end the report of a run."""
    status, name = local.status, local.record.name
    root = local.directory.path.parent.parent
    default = root == find_state_dir().absolute()
    option = "" if default else f" --state-dir {shell_quoted(_short(root))}"
    yield ""
    if not status.phase.ended:
        yield f"Interrupted: what ran was stopped. Resume it: podium resume {name}{option}"
        return
    message = next((c.message for c in status.conditions if c.type == "Succeeded"), "")
    yield f"{status.phase.value} in {status.duration}" + (f": {message}" if message else "")
    for output, value in (status.outputs or {}).items():
        yield f"  {output} = {shorten(orjson.dumps(value).decode(), SHOWN_CHARACTERS)}"
    rollback = next((c for c in status.conditions if c.type == "RolledBack"), None)
    if rollback is not None:
        yield f"  rollback: {rollback.message or 'what completed is undone'}"
    failed = [n for n, s in nodes_in_order(status.nodes) if s.status is NodeStatus.FAILED]
    for node in failed[:10]:
        state = status.nodes[node]
        yield f"  {node}: {state.reason}: {' '.join(state.message.split())}"
    warnings = Counter(text for s in status.nodes.values() for text in s.warnings)
    for text, number in warnings.most_common(5):
        yield f"  warning of {counted(number, 'node')}: {text}"
    if status.token_usage is not None:
        yield f"  models: {spent(status)}"
    yield f"outputs: podium get {name} -o yaml{option}"
    here = [node for node in failed if status.nodes[node].copied_from is None]
    yield f"logs:    podium logs {_logs_of(name, status, here)}{option}"
    yield f"files:   {_short(local.directory.path)}"
    if failed_nodes(local.plan, status):
        yield f"again:   podium rerun {name} --failed{option}"


def _logs_of(run: str, status: WorkflowRunStatus, failed: list[str]) -> str:
    """Return the run and the first node whose own program failed, as words of a command."""
    first = next((node for node in failed if is_item(node)), failed[0] if failed else "")
    if first and (child := status.nodes[first].child_run):
        return child
    return f"{run} {shell_quoted(first)}" if first else run


def _short(path: Path) -> str:
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
