"""A node's program of Podium's own: its config in, its output or the reason of its failure out."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from podium.api.reasons import NodeReason
from podium.errors import PodiumError
from podium.runner import LAST_WORDS

__all__ = ["ProgramError", "run", "variable", "write"]

Work = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class ProgramError(PodiumError):
    """The work failed; `reason` is one word for the node's state."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def run(work: Work) -> int:
    """Do the work of $PODIUM_CONFIG, write its output to $PODIUM_OUTPUT; return the exit code."""
    try:
        made = dict(work(json.loads(os.environ["PODIUM_CONFIG"])))
        code = 0
    except ProgramError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)  # noqa: T201
        made = {"podiumError": {"reason": error.reason, "message": str(error)}}
        code = 1
    write(made, code)
    return code


def write(made: Mapping[str, Any], code: int) -> None:
    """Write an output, or why there is none, to where the shell reads it."""
    place = os.environ["PODIUM_OUTPUT"]
    if code:
        place = os.environ.get(LAST_WORDS, place)
    Path(place).write_text(json.dumps(made, ensure_ascii=False, separators=(",", ":")))


def variable(name: str) -> str:
    """Return a variable that a config names, which holds what is secret. Raises `ProgramError`."""
    value = os.environ.get(name)
    if not value:
        message = f"the variable {name} is not set: set it in pod.env, with valueFrom: secretKeyRef"
        raise ProgramError(NodeReason.CONFIG, message)
    return value
