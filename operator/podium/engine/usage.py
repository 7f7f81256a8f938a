"""What personas spent, as their runner tells it: on the node, and summed on the run."""

import math
from collections.abc import Mapping
from typing import Any

from podium import executors
from podium.api.usage import MOST, TokenUsage
from podium.engine.plan import PlanNode
from podium.engine.state import RunState

__all__ = ["USAGE_KEY", "asks_models", "note_usage"]

USAGE_KEY = "podiumUsage"
"""Key of an output of personas in which the runner tells what they spent; it is taken out."""
DIGITS = 9
_COUNTED = tuple((name, field.alias or name) for name, field in TokenUsage.model_fields.items())


def asks_models(node: PlanNode) -> bool:
    """Return whether a node's output may tell what personas spent."""
    return node.definition.executor in executors.PERSONA_EXECUTORS


def note_usage(run: RunState, node: PlanNode, told: Mapping[str, Any]) -> None:
    """Note what the latest execution of a node spent.

    What it was said to have spent before is taken away: an end that is seen twice counts once.
    """
    usage, cost = _read(told)
    state, status = run.touch(node.id), run.status
    total = (status.token_usage or TokenUsage()).plus(usage)
    if state.token_usage is not None:
        total = total.plus(state.token_usage, -1)
    if cost is not None or state.cost is not None:
        change = (cost or 0.0) - (state.cost or 0.0)
        status.cost = round(max(0.0, (status.cost or 0.0) + change), DIGITS)
    status.token_usage = total
    state.token_usage, state.cost = usage, cost
    if kept := _count(told.get("keptAnswers")):
        warning = f"answers of earlier runs were given again, and no model was asked: {kept}"
        state.warnings = [*(each for each in state.warnings if each != warning), warning]
    run.run_changed = True


def _read(told: Mapping[str, Any]) -> tuple[TokenUsage, float | None]:
    """Read what a program said: what is no number of tokens counts for nothing."""
    counts = {name: _count(told.get(alias)) for name, alias in _COUNTED}
    return TokenUsage(**counts), _cost(told.get("cost"))


def _cost(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(float(value), DIGITS) if math.isfinite(value) and 0 <= value <= MOST else None


def _count(value: Any) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST
    return value if is_count else 0
