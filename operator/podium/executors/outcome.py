"""Failure reason and message of a program, the same on a laptop and on a cluster."""

import json
from typing import Any

from podium.api.reasons import NodeReason

__all__ = ["FailedProgram", "failed_program", "is_retryable", "told_usage"]

LAST_LINES = 3
LAST_CHARACTERS = 500
LAST_SIGNAL = 64
"""The highest number of a signal on Linux."""

FailedProgram = tuple[str, str, dict[str, Any]]
"""Reason in one word, message, details."""

_TELLING = ('{"podiumUsage":', '{"podiumError":')
"""How a message begins that may tell what personas spent."""
_FINAL = (
    NodeReason.CONFIG,
    NodeReason.NO_RECORDED_ANSWER,
    NodeReason.MODEL_QUOTA,
    NodeReason.MODEL_REFUSED,
    NodeReason.BUDGET,
    NodeReason.INPUT_TOO_LARGE,
)
"""Reasons of the runner that another try would meet again."""


def failed_program(code: int, written: str, log: str) -> FailedProgram:
    """Describe how a program failed. `written` is its output, `log` the end of what it printed.

    The code is that of a shell: 128 and the number of the signal that ended it. A larger one, such
    as 255, is the program's own.
    """
    own = _own_words(written)
    if own is not None:
        return *own, {}
    if log.startswith(_TELLING):  # of a cluster, where the output is what it printed last
        log = ""
    words = " / ".join(
        line for line in log[-LAST_CHARACTERS:].splitlines()[-LAST_LINES:] if line.strip()
    )
    last = f"; last lines: {words}" if words else ""
    if 128 < code <= 128 + LAST_SIGNAL:
        return NodeReason.SIGNAL, f"ended by signal {code - 128}{last}", {"signal": code - 128}
    return NodeReason.ERROR, f"exit code {code}{last}", {}


def is_retryable(reason: str) -> bool:
    """Return whether the retry policy may try again."""
    return reason not in _FINAL


def told_usage(written: str) -> dict[str, Any] | None:
    """Return what Podium's runner says that personas spent; None: it says nothing.

    It says so first, so that it is read of an output that was cut off, too.
    """
    if not written.startswith(_TELLING):
        return None
    try:
        if written.startswith(_TELLING[1]):
            found = json.loads(written)["podiumError"]["usage"]
        else:
            found, _ = json.JSONDecoder().raw_decode(written, len(_TELLING[0]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _own_words(written: str) -> tuple[str, str] | None:
    """Read what Podium's own runner wrote about why it failed."""
    if not written.startswith('{"podiumError"'):
        return None
    try:
        error = json.loads(written)["podiumError"]
        return str(error["reason"])[:100], str(error["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
