"""Recorded answers as the provider: never mistaken for a model, for the run names them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from podium.api.reasons import NodeReason
from podium.personas.asking import Ask, Reply, Role
from podium.personas.errors import PersonaError

__all__ = ["RecordedAnswer", "RecordedAnswers"]

MAX_BYTES = 5_000_000
_FIELDS = ("node", "persona", "role", "round", "output", "files", "usage")
_ROLES = tuple(role.value for role in Role)


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """One recorded answer; None matches anything."""

    output: Mapping[str, Any]
    node: str | None = None
    persona: str | None = None
    role: str | None = None
    round: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedAnswers:
    """Answers from a file; the first that matches is taken."""

    answers: tuple[RecordedAnswer, ...]
    source: str

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of recorded answers. Raises `PersonaError` naming what is wrong."""
        try:
            text = path.read_bytes()
            if len(text) > MAX_BYTES:
                raise PersonaError(NodeReason.CONFIG, f"{path}: larger than {MAX_BYTES} bytes")
            data = yaml.safe_load(text)
        except OSError as error:
            raise PersonaError(NodeReason.CONFIG, f"{path}: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
            raise PersonaError(NodeReason.CONFIG, f"{path}{_where(error)}: is not YAML") from None
        rows = data.get("answers") if isinstance(data, Mapping) else None
        if not isinstance(rows, list):
            raise PersonaError(NodeReason.CONFIG, f"{path}: answers: must be a list of answers")
        answers = tuple(_answer(row, f"{path}: answers[{i}]") for i, row in enumerate(rows))
        return cls(answers, str(path))

    def share(self, sharers: int) -> None:
        """Learn how many ask side by side, which does not matter here."""

    async def ask(self, asked: Ask) -> Reply:
        """Return the answer of a persona. Raises `PersonaError` if none is recorded."""
        node, persona, role = asked.node, asked.persona, asked.role.value
        for recorded in self.answers:
            wanted = (
                (recorded.node, node),
                (recorded.persona, persona),
                (recorded.role, role),
                (recorded.round, asked.round),
            )
            if all(value is None or value == given for value, given in wanted):
                return Reply(recorded.output, recorded.files)
        which = f", round {asked.round}" if asked.round else ""
        raise PersonaError(
            NodeReason.NO_RECORDED_ANSWER,
            f"no answer is recorded for node {node}, persona {persona}, role {role}{which}",
        )


def _where(error: Exception) -> str:
    """Return where the file is wrong; what stands there may be secret, and is not quoted."""
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"


def _answer(row: Any, place: str) -> RecordedAnswer:
    if not isinstance(row, Mapping) or not isinstance(row.get("output"), Mapping):
        raise PersonaError(NodeReason.CONFIG, f"{place}.output: must be the JSON object answered")
    if set(row) - set(_FIELDS):
        known = ", ".join(_FIELDS)
        raise PersonaError(NodeReason.CONFIG, f"{place}: has an unknown field: known are {known}")
    if row.get("role") not in (None, *_ROLES):
        roles = f"{', '.join(_ROLES[:-1])} or {_ROLES[-1]}"
        raise PersonaError(NodeReason.CONFIG, f"{place}.role: must be {roles}")
    files = row.get("files") or {}
    if not isinstance(files, Mapping):
        raise PersonaError(NodeReason.CONFIG, f"{place}.files: must hold NAME: text")
    return RecordedAnswer(
        row["output"], row.get("node"), row.get("persona"), row.get("role"), row.get("round"),
        {str(name): str(text) for name, text in files.items()},
    )  # fmt: skip
