"""Recorded answers as the provider: never mistaken for a model, for the run names them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from podium.api.problems import InvalidError
from podium.api.reasons import NodeReason
from podium.api.source import source_map
from podium.personas.asking import Ask, Reply, Role
from podium.personas.errors import PersonaError

__all__ = ["RecordedAnswer", "RecordedAnswers"]

MAX_BYTES = 5_000_000
_FIELDS = ("node", "persona", "role", "round", "output", "files", "usage")
_NOT_READ = (
    "is not YAML as Podium reads it: values that JSON has, keys that are strings and none of them"
    " twice, few aliases, and these of what stands before them"
)
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
            documents = source_map.read(source_map.decode(text, path.name), path.name)
        except OSError as error:
            raise PersonaError(NodeReason.CONFIG, f"{path}: {error.strerror}") from None
        except InvalidError as error:
            raise PersonaError(NodeReason.CONFIG, f"{path}{_where(error)}: {_NOT_READ}") from None
        data = documents[0].data if len(documents) == 1 else None
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


def _where(error: InvalidError) -> str:
    """Return where the file is wrong; what stands there may be secret, and is not quoted."""
    line = error.problems[0].line
    return "" if line is None else f", line {line}"


def _answer(row: Any, place: str) -> RecordedAnswer:
    if not isinstance(row, Mapping) or not isinstance(row.get("output"), Mapping):
        raise PersonaError(NodeReason.CONFIG, f"{place}.output: must be the JSON object answered")
    if set(row) - set(_FIELDS):
        known = ", ".join(_FIELDS)
        raise PersonaError(NodeReason.CONFIG, f"{place}: has an unknown field: known are {known}")
    if row.get("role") not in (None, *_ROLES):
        roles = f"{', '.join(_ROLES[:-1])} or {_ROLES[-1]}"
        raise PersonaError(NodeReason.CONFIG, f"{place}.role: must be {roles}")
    for name in ("node", "persona"):
        if not isinstance(row.get(name), str | None):
            raise PersonaError(NodeReason.CONFIG, f"{place}.{name}: must be a string: quote it")
    number = row.get("round")
    if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
        raise PersonaError(NodeReason.CONFIG, f"{place}.round: must be a whole number, such as 1")
    files = row.get("files") or {}
    if not isinstance(files, Mapping) or not all(isinstance(each, str) for each in files.values()):
        raise PersonaError(NodeReason.CONFIG, f"{place}.files: must hold NAME: text")
    return RecordedAnswer(
        row["output"], row.get("node"), row.get("persona"), row.get("role"), number, files
    )
