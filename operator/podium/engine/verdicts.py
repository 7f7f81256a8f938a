"""Verdicts: whether an output meets its contract, which may take long to say.

A schema is whatever a user wrote: checking a value against it may take seconds. What is small for
certain is answered at once. Anything else goes through a port, `Verdicts`: it answers at once too,
or returns None and has the answer given to `Engine.step` later, as an observation in the phase
Judged. Until then the node is Running with the reason Judging.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from podium import contracts

__all__ = ["InlineVerdicts", "OutputQuestion", "Verdicts", "answer", "is_small"]

SMALL_OUTPUT = 64
"""Values (of lists and mappings, all counted) that are checked at once, whatever they are."""
SMALL_SCHEMA = 64
"""Values in a schema that is small."""
_COSTLY = frozenset(
    {
        *("$ref", "$dynamicRef", "pattern", "patternProperties", "uniqueItems", "contains"),
        *("anyOf", "oneOf", "allOf", "not", "if", "dependentSchemas", "unevaluatedItems"),
        *("unevaluatedProperties", "format"),
    }
)
"""Keywords whose cost is more than that of one look at each value."""


@dataclass(frozen=True, slots=True)
class OutputQuestion:
    """Whether an output meets its contract. All that the answer depends on is here."""

    node: str
    execution: str
    output: Mapping[str, Any]
    produces: tuple[str, ...]
    schema: Mapping[str, Any] | None
    quality_threshold: float | None
    is_own_threshold: bool
    quality_field: str


class Verdicts(Protocol):
    """Answers questions that may take long."""

    def ask(self, question: OutputQuestion) -> contracts.OutputVerdict | None:
        """Return the verdict; None: it comes later, as an observation in the phase Judged."""
        ...


class InlineVerdicts:
    """Answers at once, however long it takes."""

    def ask(self, question: OutputQuestion) -> contracts.OutputVerdict | None:
        """Return the verdict."""
        return answer(question)


def answer(question: OutputQuestion) -> contracts.OutputVerdict:
    """Check an output against its contract."""
    return contracts.check_output(
        question.output,
        produces=question.produces,
        schema=question.schema,
        quality_threshold=question.quality_threshold,
        own_threshold=question.is_own_threshold,
        quality_field=question.quality_field,
    )


def is_small(question: OutputQuestion) -> bool:
    """Return whether the answer certainly takes less than a millisecond or so."""
    if question.schema is None:
        return len(question.produces) <= SMALL_SCHEMA
    return (
        _is_within(question.schema, SMALL_SCHEMA)
        and _is_within(question.output, SMALL_OUTPUT)
        and not _is_costly(question.schema)
    )


def _is_within(value: object, limit: int) -> bool:
    """Return whether a JSON value has no more than so many values in it; looks no further."""
    waiting, seen = [value], 0
    while waiting:
        each = waiting.pop()
        seen += 1
        if seen > limit:
            return False
        if isinstance(each, Mapping):
            seen += len(each)  # its keys
            if seen <= limit:
                waiting.extend(each.values())
        elif isinstance(each, Sequence) and not isinstance(each, str):
            if seen + len(each) > limit:
                return False
            waiting.extend(each)
    return True


def _is_costly(schema: Mapping[str, Any]) -> bool:
    """Return whether a small schema has a costly keyword; a property of such a name counts too."""
    waiting: list[object] = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            if not _COSTLY.isdisjoint(each):
                return True
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
    return False
