"""Verdicts: checks of a node that may take long, because users write what they run on.

A schema, a condition or a template may take seconds. What is small for certain is answered at once.
Anything else goes through a port, `Verdicts`: it answers at once too, or returns None and has the
answer given to `Engine.step` later, as an observation in the phase Judged. Until then the node
stands where it is (WaitingForDependencies, Ready or Running) with the reason Judging.

A question holds all that its answer depends on, as plain data: it can be asked of another process.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, overload

from podium import contracts, expressions, kinds
from podium.api.executors import ExecutorSpec
from podium.api.workflow import Node

__all__ = [
    "COSTLY",
    "SMALL_STEPS",
    "Answer",
    "ConditionQuestion",
    "InlineVerdicts",
    "InputQuestion",
    "KindQuestion",
    "OutputQuestion",
    "Question",
    "StartQuestion",
    "Value",
    "ValueQuestion",
    "Verdicts",
    "answer",
    "is_small",
    "is_small_config",
    "read_by",
    "value_of",
]

SMALL_STEPS = 1_000
"""Steps of evaluations that are made at once: one to eight milliseconds."""
SMALL_OUTPUT = 64
"""Values (of lists and mappings, all counted) that are checked at once, whatever they are."""
SMALL_SCHEMA = 64
"""Values in a schema that is small."""
COSTLY = frozenset(
    {
        *("$ref", "$dynamicRef", "pattern", "patternProperties", "uniqueItems", "contains"),
        *("anyOf", "oneOf", "allOf", "not", "if", "dependentSchemas", "unevaluatedItems"),
        *("unevaluatedProperties", "format"),
    }
)
"""Keywords whose cost is more than that of one look at each value."""


@dataclass(slots=True)
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


@dataclass(slots=True)
class InputQuestion:
    """Whether an input meets its contract."""

    number: int = field(compare=False)
    node: str
    execution: str
    resolved: Mapping[str, Any]
    required_fields: tuple[str, ...]
    schema: Mapping[str, Any] | None
    waived: frozenset[str]

    @property
    def about(self) -> str:
        """What is asked about the node."""
        return "input"


@dataclass(slots=True)
class KindQuestion:
    """What the kind of a node decides about its start: its cases, the templates of its config."""

    number: int = field(compare=False)
    node: str
    execution: str
    definition: Node
    scope: Mapping[str, Any]
    """What its expressions read (`read_by`)."""
    now: float = field(compare=False)
    is_recorded: bool
    executor: ExecutorSpec | None = None
    """Its executor, where that is a resource."""

    @property
    def about(self) -> str:
        """What is asked about the node."""
        return "start"


@dataclass(slots=True)
class ConditionQuestion:
    """Whether a condition holds, of a node or of an edge to it."""

    number: int = field(compare=False)
    node: str
    execution: str
    edge: int | None
    """The edge's index; None: the node's own condition."""
    condition: str
    scope: Mapping[str, Any]
    """What it reads (`read_by`)."""

    @property
    def about(self) -> str:
        """What is asked about the node."""
        return "condition" if self.edge is None else f"edge {self.edge}"


@dataclass(slots=True)
class ValueQuestion:
    """What an expression of the run gives, which belongs to no node."""

    number: int = field(compare=False)
    about: str
    expression: str
    scope: Mapping[str, Any]
    """What it reads (`read_by`)."""
    node: str = ""
    execution: str = ""


@dataclass(slots=True)
class Value:
    """A value that was computed, as Podium keeps it."""

    value: Any


StartQuestion = InputQuestion | KindQuestion | ConditionQuestion | ValueQuestion
"""About a node that has not started, or about the run."""
Question = OutputQuestion | StartQuestion


class Answer(NamedTuple):
    """The answer to a `StartQuestion`: a value of the type that it asks for, or why there is none.

    Those are a verdict on the input, what the kind decided, whether the condition holds, and what
    an expression gives.
    """

    question: int
    """The question's number."""
    value: contracts.InputVerdict | kinds.Decision | Value | bool | None = None
    error: str | None = None

    def input(self) -> contracts.InputVerdict:
        """Return the verdict on an input."""
        if not isinstance(self.value, contracts.InputVerdict):
            raise TypeError(f"not a verdict on an input: {self.value!r:.200}")
        return self.value

    def decision(self) -> kinds.Decision:
        """Return what a kind decided. Raises `ExpressionError` if it could not."""
        value = self._value()
        if not isinstance(value, kinds.Decision):
            raise TypeError(f"not a decision: {value!r:.200}")
        return value

    def holds(self) -> bool:
        """Return whether a condition holds. Raises `ExpressionError` if it cannot be evaluated."""
        value = self._value()
        if not isinstance(value, bool):
            raise TypeError(f"not the value of a condition: {value!r:.200}")
        return value

    def computed(self) -> Any:
        """Return what an expression gives. Raises `ExpressionError` if it gives nothing."""
        value = self._value()
        if not isinstance(value, Value):
            raise TypeError(f"not a value: {value!r:.200}")
        return value.value

    def _value(self) -> object:
        if self.error is not None:
            raise expressions.ExpressionError(self.error)
        return self.value


class Verdicts(Protocol):
    """Answers questions that may take long."""

    @overload
    def ask(self, question: OutputQuestion) -> contracts.OutputVerdict | None: ...
    @overload
    def ask(self, question: StartQuestion) -> Answer | None: ...
    def ask(self, question: Question) -> contracts.OutputVerdict | Answer | None:
        """Return the answer; None: it comes later, as an observation in the phase Judged."""
        ...


class InlineVerdicts:
    """Answers at once, however long it takes."""

    @overload
    def ask(self, question: OutputQuestion) -> contracts.OutputVerdict: ...
    @overload
    def ask(self, question: StartQuestion) -> Answer: ...
    def ask(self, question: Question) -> contracts.OutputVerdict | Answer:
        """Return the answer."""
        return answer(question)


@overload
def answer(question: OutputQuestion) -> contracts.OutputVerdict: ...
@overload
def answer(question: StartQuestion) -> Answer: ...
def answer(question: Question) -> contracts.OutputVerdict | Answer:
    """Answer a question, however long it takes."""
    match question:
        case OutputQuestion():
            return contracts.check_output(
                question.output,
                produces=question.produces,
                schema=question.schema,
                quality_threshold=question.quality_threshold,
                own_threshold=question.is_own_threshold,
                quality_field=question.quality_field,
            )
        case InputQuestion():
            verdict = contracts.check_input(
                question.resolved,
                required_fields=question.required_fields,
                schema=question.schema,
                waived=question.waived,
            )
            return Answer(question.number, verdict)
        case KindQuestion() | ConditionQuestion() | ValueQuestion():
            try:
                return Answer(question.number, _evaluated(question))
            except expressions.ExpressionError as error:
                return Answer(question.number, error=str(error))


def value_of(expression: expressions.Expression, scope: Mapping[str, Any]) -> Any:
    """Return what an expression gives, as Podium keeps it. Raises `ExpressionError`."""
    value = expression.evaluate(scope)
    try:
        return contracts.normalise(value)
    except contracts.ValueNotJSONError as error:
        raise expressions.EvaluationError(str(error)) from None


def _evaluated(
    question: KindQuestion | ConditionQuestion | ValueQuestion,
) -> kinds.Decision | Value | bool:
    if isinstance(question, ValueQuestion):
        return Value(value_of(expressions.parse(question.expression), question.scope))
    if isinstance(question, ConditionQuestion):
        condition = expressions.parse(question.condition)
        return expressions.evaluate_condition(condition, question.scope)
    view = kinds.NodeView(
        node=question.definition,
        execution=question.execution,
        names=lambda: question.scope,
        now=question.now,
        is_recorded=question.is_recorded,
        executor=question.executor,
    )
    return kinds.of(question.definition).start(view)


def read_by(
    references: Iterable[expressions.Reference], scope: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is read of a scope, as plain data; a missing value stays missing."""
    found: dict[str, Any] = {}
    whole: set[str] = set()
    for reference in references:
        root, keys = str(reference.path[0]), reference.path[1:]
        if root not in scope or root in whole:
            continue
        if root in ("item", "index"):
            whole.add(root)
            found[root] = scope[root]
        elif keys:
            with suppress(KeyError):
                found.setdefault(root, {})[str(keys[0])] = scope[root][keys[0]]
        else:
            whole.add(root)
            found[root] = dict(scope[root])
    return found


# What is small


def is_small_config(executor: ExecutorSpec, config: Mapping[str, Any]) -> bool:
    """Return whether a config is certainly checked against its executor's schema in a moment."""
    return _is_small(config, (), executor.config)


def is_small(question: OutputQuestion | InputQuestion) -> bool:
    """Return whether the answer certainly takes less than a millisecond or so.

    What expressions take is not known before: they are given `SMALL_STEPS` to try.
    """
    if isinstance(question, OutputQuestion):
        return _is_small(question.output, question.produces, question.schema)
    return _is_small(question.resolved, question.required_fields, question.schema)


def _is_small(
    value: Mapping[str, Any], fields: Sequence[str], schema: Mapping[str, Any] | None
) -> bool:
    if len(fields) > SMALL_SCHEMA:
        return False
    return schema is None or (
        _is_within(schema, SMALL_SCHEMA)
        and _is_within(value, SMALL_OUTPUT)
        and not _is_costly(schema)
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
            if not COSTLY.isdisjoint(each):
                return True
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
    return False
