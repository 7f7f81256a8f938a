"""Decisions about approvals, of a command or at the terminal: checked before the run is told."""

import getpass
import os
import time
import uuid
from typing import Any

from podium import kinds
from podium.cli.approvals import Asked
from podium.cli.output import CliError
from podium.cli.session import OpenRun
from podium.engine import ApprovalRequest

__all__ = ["checked_request"]


def checked_request(
    run: OpenRun, asked: Asked, *, is_approved: bool, comment: str, values: dict[str, Any]
) -> ApprovalRequest:
    """Return a decision as a request. Raises `CliError` if the node would not take it."""
    planned = run.plan.nodes[asked.node]
    by = _user_name()
    answer = kinds.Answer(is_approved, by, by, None, comment, values)
    view = kinds.NodeView(planned.definition, asked.execution, dict, time.time())
    if not isinstance(planned.kind, kinds.Answerable):
        raise CliError(f"{asked.node} of run {run.name} is not an approval")
    try:
        planned.kind.answer(view, answer)
    except kinds.AnswerRefusedError as refusal:
        raise CliError(f"{asked.node}: {refusal}") from None
    return ApprovalRequest(str(uuid.uuid4()), asked.node, asked.execution, answer)


def _user_name() -> str:
    """Return the name of the user at this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
