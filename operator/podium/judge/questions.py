"""The engine's questions and their answers as plain data: JSON that another process reads."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import orjson
from pydantic import BaseModel

from podium import contracts, kinds
from podium.api.executors import ExecutorSpec
from podium.api.workflow import Node
from podium.engine import (
    Answer,
    ConditionQuestion,
    InputQuestion,
    KindQuestion,
    OutputQuestion,
    Question,
    Value,
    ValueQuestion,
    answer,
)

__all__ = ["TASK", "answer_of", "dump_question", "load_answer", "too_expensive"]

TASK = "question"
_QUESTIONS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (OutputQuestion, InputQuestion, KindQuestion, ConditionQuestion, ValueQuestion)
}
_DECISIONS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (kinds.Launch, kinds.Complete, kinds.Fail, kinds.Wait, kinds.Skip)
}


def dump_question(question: Question) -> bytes:
    """Return a question as JSON. Raises `TypeError` if it holds what JSON does not have."""
    return orjson.dumps({"is": type(question).__name__, **_fields(question)}, default=_plain)


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, not copied."""
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _plain(value: object) -> object:
    match value:
        case BaseModel():
            return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
        case Mapping():
            return dict(value)
        case set() | frozenset():
            return sorted(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _load_question(data: dict[str, Any]) -> Question:
    kind = _QUESTIONS[data.pop("is")]
    for name in ("produces", "required_fields"):
        if name in data:
            data[name] = tuple(data[name])
    if "waived" in data:
        data["waived"] = frozenset(data["waived"])
    if "definition" in data:
        data["definition"] = Node.model_validate(data["definition"])
    if data.get("executor") is not None:
        data["executor"] = ExecutorSpec.model_validate(data["executor"])
    question: Question = kind(**data)
    return question


def answer_of(body: bytes) -> bytes:
    """Answer a question in a worker."""
    said = answer(_load_question(orjson.loads(body)))
    value = said if isinstance(said, contracts.OutputVerdict) else said.value
    error = None if isinstance(said, contracts.OutputVerdict) else said.error
    data: dict[str, Any] = {"is": type(value).__name__, "error": error}
    data["value"] = value if value is None or isinstance(value, bool) else _fields(value)
    return orjson.dumps(data, default=_plain)


def load_answer(question: Question, body: bytes) -> contracts.OutputVerdict | Answer:
    """Read the answer to a question. Raises `ValueError`, `TypeError`, `KeyError`."""
    data: dict[str, Any] = orjson.loads(body)
    kind, value = data["is"], data["value"]
    if isinstance(question, OutputQuestion):
        breaches = [contracts.Breach(**each) for each in value["breaches"]]
        return contracts.OutputVerdict(value["reason"], breaches, value["quality_score"])
    if data["error"] is not None:
        return Answer(question.number, error=str(data["error"]))
    if isinstance(question, InputQuestion):
        breaches = [contracts.Breach(**each) for each in value["breaches"]]
        return Answer(question.number, contracts.InputVerdict(breaches, value["waived"]))
    if isinstance(question, ConditionQuestion):
        return Answer(question.number, value is True)
    if isinstance(question, ValueQuestion):
        return Answer(question.number, Value(value["value"]))
    if kind == "Launch":
        shape, warnings = kinds.JobShape(value["shape"]), tuple(value["warnings"])
        made = kinds.Launch(value["config"], shape, warnings, value["template"], value["fields"])
        return Answer(question.number, made)
    return Answer(question.number, _DECISIONS[kind](**value))


def too_expensive(question: Question, why: str) -> contracts.OutputVerdict | Answer:
    """Return the answer to a question that goes beyond its budget; `why` says which one."""
    match question:
        case OutputQuestion():
            said = f"to check the output {why}: make the schema of its contract simpler"
            return contracts.OutputVerdict("OutputContract", [contracts.Breach("", said)])
        case InputQuestion():
            said = f"to check the input {why}: make the schema of its contract simpler"
            return Answer(question.number, contracts.InputVerdict([contracts.Breach("", said)]))
        case KindQuestion():
            said = (
                f"to evaluate its expressions {why}: make them simpler, or what they read smaller"
            )
        case ConditionQuestion() | ValueQuestion():
            said = f"to evaluate it {why}: make it simpler, or what it reads smaller"
    return Answer(question.number, error=said)
