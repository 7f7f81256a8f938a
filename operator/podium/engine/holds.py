"""Whether conditions hold: at once where that is cheap, else by an answer that comes later."""

from collections.abc import Mapping
from typing import Any

from podium import expressions
from podium.engine.state import RunState
from podium.engine.verdicts import ConditionQuestion, read_by

__all__ = ["holds"]


def holds(
    run: RunState,
    node: str,
    condition: expressions.Expression,
    scope: Mapping[str, Any],
    edge: int | None = None,
) -> bool | None:
    """Return whether a condition of a node, or of an edge to it, holds; None: not known yet.

    Raises `ExpressionError`.
    """
    questions = run.questions
    about = "condition" if edge is None else f"edge {edge}"
    try:
        return questions.at_once(
            node, about, lambda: expressions.evaluate_condition(condition, scope)
        )
    except expressions.OutOfFuelError:
        pass  # asked below
    question = ConditionQuestion(
        number=questions.next_number(),
        node=node,
        execution=run.next_execution(node),
        edge=edge,
        condition=condition.source,
        scope=read_by(condition.references, scope),
    )
    answer = questions.ask(question)
    return None if answer is None else answer.holds()
