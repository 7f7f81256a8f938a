"""Personas: a team drafts side by side and its lead merges; answers come from a provider.

The one provider of this version is `RecordedAnswers`, a file. It is never mistaken for a model:
the run names it, and every node that used it carries a warning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from podium.api.reasons import NodeReason
from podium.errors import PodiumError

__all__ = ["Answer", "PersonaError", "RecordedAnswers", "answer"]

MAX_BYTES = 5_000_000


class PersonaError(PodiumError):
    """A persona could not answer; `reason` is one word for the node's state."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Answer:
    """One recorded answer; None matches anything."""

    output: Mapping[str, Any]
    node: str | None = None
    persona: str | None = None
    role: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedAnswers:
    """Answers from a file; the first that matches is taken."""

    answers: tuple[Answer, ...]
    source: str

    @classmethod
    def load(cls, path: Path) -> "RecordedAnswers":
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

    def find(self, node: str, persona: str, role: str) -> Answer:
        """Return the answer of a persona. Raises `PersonaError` if none is recorded."""
        for recorded in self.answers:
            wanted = ((recorded.node, node), (recorded.persona, persona), (recorded.role, role))
            if all(value is None or value == given for value, given in wanted):
                return recorded
        raise PersonaError(
            NodeReason.NO_RECORDED_ANSWER,
            f"no answer is recorded for node {node}, persona {persona}, role {role}",
        )


def answer(
    config: Mapping[str, Any],
    given: Mapping[str, Any],
    recorded: RecordedAnswers,
    artifacts: Path | None,
) -> dict[str, Any]:
    """Return the node's output: the one persona's answer, or the lead's merge of all drafts.

    `given` is the node context (PODIUM_INPUT). Files of the answers are written below
    `config.output_dir` in `artifacts`. Raises `PersonaError`.
    """
    node = str(given["nodeId"])
    personas = list(config["personas"])
    answers = [recorded.find(node, persona, "draft") for persona in personas]
    if len(personas) > 1:
        answers.append(recorded.find(node, str(config.get("lead") or personas[0]), "merge"))
    if artifacts is not None:
        directory = str(config.get("output_dir") or config.get("outputDir") or ".")
        for each in answers:
            for name, text in each.files.items():
                _write(artifacts, f"{directory}/{name}", text)
    return dict(answers[-1].output)


def _where(error: Exception) -> str:
    """Return where the file is wrong; what stands there may be secret, and is not quoted."""
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"


def _answer(row: Any, place: str) -> Answer:
    if not isinstance(row, Mapping) or not isinstance(row.get("output"), Mapping):
        raise PersonaError(NodeReason.CONFIG, f"{place}.output: must be the JSON object answered")
    unknown = set(row) - {"node", "persona", "role", "output", "files", "usage"}
    if unknown:
        known = "node, persona, role, output, files, usage"
        raise PersonaError(NodeReason.CONFIG, f"{place}: has an unknown field: known are {known}")
    if row.get("role") not in (None, "draft", "merge"):
        raise PersonaError(NodeReason.CONFIG, f"{place}.role: must be draft or merge")
    files = row.get("files") or {}
    if not isinstance(files, Mapping):
        raise PersonaError(NodeReason.CONFIG, f"{place}.files: must hold NAME: text")
    return Answer(
        row["output"], row.get("node"), row.get("persona"), row.get("role"),
        {str(name): str(text) for name, text in files.items()},
    )  # fmt: skip


def _write(root: Path, name: str, text: str) -> None:
    """Write a file under `root` and nowhere else."""
    root = root.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or path == root:
        raise PersonaError(NodeReason.CONFIG, "a name in files leads out of the node's artifacts")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
