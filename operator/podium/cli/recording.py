"""`podium run --record FILE`: what models answered in a run, as a file for `--recorded`."""

import json
import os
from pathlib import Path
from typing import Any

from podium.api.node_state import NodeStatus
from podium.cli.describe import counted
from podium.cli.documents import to_yaml
from podium.cli.output import CliError
from podium.cli.session import OpenRun

__all__ = ["require_writable", "write_recording"]

MAX_BYTES = 5_000_000
"""Of all answers: what `--recorded` reads."""
ANSWERS = "answers.json"
"""In the directory of an execution."""


def require_writable(path: Path) -> None:
    """Raise `CliError` unless the file can be written: before models are paid for."""
    if not os.access(path if path.exists() else path.resolve().parent, os.W_OK):
        raise CliError(f"--record {path}: cannot be written")


def write_recording(run: OpenRun, path: Path) -> str:
    """Write the answers of all nodes that completed, and return what was done, in words."""
    rows = [
        row
        for state in run.status.nodes.values()
        if state.status is NodeStatus.COMPLETED and state.execution_id
        for row in _answers(run.directory.execution(state.execution_id) / ANSWERS)
    ]
    if not rows:
        return f"--record {path}: not written, for no node that completed had asked a model"
    head = f"# What models answered in the run {run.name}; for podium run --recorded.\n"
    text = head + to_yaml({"answers": rows})
    if len(text.encode()) > MAX_BYTES:
        return f"--record {path}: not written, the answers have more than {MAX_BYTES:,} bytes"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"--record {path}: {error.strerror}") from None
    return f"{counted(len(rows), 'answer')} recorded in {path}"


def _answers(path: Path) -> list[dict[str, Any]]:
    """Return what an execution was answered; none: it asked no model."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        rows = json.loads(data)["answers"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
