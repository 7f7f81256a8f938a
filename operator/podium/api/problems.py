"""Problems of what a user wrote: where, what is wrong, what would be right."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from podium.errors import PodiumError

__all__ = [
    "InvalidError",
    "Path",
    "Problem",
    "Severity",
    "UserError",
    "errors",
    "errors_and_warnings",
    "format_path",
]

Path = tuple[str | int, ...]
"""A place in a document: keys and list positions from the top."""


class Severity(StrEnum):
    """How bad a problem is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    """Nothing is wrong: something to know, which `podium validate --strict` does not refuse."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a definition."""

    path: Path
    message: str
    severity: Severity = Severity.ERROR
    line: int | None = None
    """1-based line in the file; None where there is no file."""
    file: str | None = None
    reworded: Callable[[str | None], str] | None = field(default=None, compare=False, repr=False)
    """Makes the message again, given how the value is written in the source: `yes` for true."""

    def __str__(self) -> str:
        """Return `file:line: path: message`, leaving out what is unknown."""
        where = self.file or ""
        if self.line is not None:
            where += f":{self.line}" if where else f"line {self.line}"
        words = [word for word in (where, format_path(self.path)) if word]
        kind = "" if self.severity is Severity.ERROR else f"{self.severity.value}: "
        return ": ".join([*words, kind + self.message])


class UserError(PodiumError):
    """An error that the user can fix; the message says how."""


class InvalidError(PodiumError, ValueError):
    """Something a user wrote is invalid; `problems` lists all that is wrong, at least one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


_PLAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


def format_path(path: Path) -> str:
    """Write a path as `spec.nodes[2].condition`; other keys than plain words are quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part)}]"
    return text


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems that are errors."""
    return [problem for problem in problems if problem.severity is Severity.ERROR]


def errors_and_warnings(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems that are more than a note."""
    return [problem for problem in problems if problem.severity is not Severity.NOTE]
