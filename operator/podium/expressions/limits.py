"""Limits of an expression: characters, depth, steps, size of each result."""

import math
from collections.abc import Callable
from typing import Any

from podium.expressions.errors import EvaluationError, LimitExceededError

__all__ = [
    "MAX_BITS",
    "MAX_CHARACTERS",
    "MAX_DEPTH",
    "MAX_EXPRESSIONS",
    "MAX_ITEMS",
    "MAX_STEPS",
    "MAX_TEXT",
    "bounded",
    "finite",
    "too_long",
]

MAX_CHARACTERS = 1024
MAX_DEPTH = 50
MAX_STEPS = 10_000
MAX_TEXT = 65_536
"""Characters of a string that an expression makes."""
MAX_ITEMS = 10_000
"""Items of a list that an expression makes by adding lists."""
MAX_BITS = 256
"""Bits of a whole number that an expression makes."""
MAX_EXPRESSIONS = 1_000
"""Expressions in one text with `${{ }}`."""


def finite(value: Any, what: str | Callable[[], str]) -> Any:
    """Refuse infinity and NaN, which some readers of JSON let in."""
    if isinstance(value, float) and not math.isfinite(value):
        raise EvaluationError(f"{what if isinstance(what, str) else what()} is not a finite number")
    return value


def bounded(value: Any) -> Any:
    """Refuse a result that is too large, or not a number."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise LimitExceededError(f"the number has more than {MAX_BITS} bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise LimitExceededError("the number is too large")  # or NaN, out of numbers too large
    if isinstance(value, complex):
        raise EvaluationError("the result is not a real number")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return too_long()
    return value


def too_long() -> Any:
    """Raise `LimitExceededError`: a string is too long."""
    raise LimitExceededError(f"the string has more than {MAX_TEXT} characters")
