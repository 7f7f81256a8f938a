"""The functions that expressions can call, and what they share over JSON values."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from podium.expressions.errors import EvaluationError, LimitExceededError
from podium.expressions.fuel import OutOfFuelError
from podium.expressions.limits import MAX_TEXT, bounded, too_long

__all__ = ["CALLS", "WALKING", "as_number", "is_number", "is_scalar", "kind_of", "write"]


def _items(value: Any, name: str) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return list(value)
    raise EvaluationError(f"{name} takes a list, not {kind_of(value)}")


def _len(value: Any) -> int:
    if isinstance(value, str | list | Mapping):
        return len(value)
    raise EvaluationError(f"len takes a string, a list or a mapping, not {kind_of(value)}")


def _extreme(name: str, pick: Callable[..., Any]) -> Callable[..., Any]:
    def extreme(*values: Any) -> Any:
        items = _items(values[0], name) if len(values) == 1 else list(values)
        if not items:
            raise EvaluationError(f"{name} of nothing")
        if not (all(is_number(i) for i in items) or all(isinstance(i, str) for i in items)):
            raise EvaluationError(f"{name} takes numbers or strings, not both or others")
        return pick(items)

    return extreme


def _sum(value: Any) -> Any:
    total: int | float = 0
    for item in _items(value, "sum"):
        total = bounded(total + as_number(item, "sum"))
    return total


def _round(value: Any, digits: Any = None) -> Any:
    number = as_number(value, "round")
    if digits is None:
        return round(number)
    if not isinstance(digits, int) or isinstance(digits, bool) or abs(digits) > 30:
        raise EvaluationError("round takes a whole number of digits, 30 at most")
    return round(number, digits)


def _int(value: Any) -> int:
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 80 or not re.fullmatch(r"[+-]?[0-9]+", text):
            raise EvaluationError(f"int: {value!r:.80} is not a whole number")
        return int(text)
    if isinstance(value, bool | int | float):
        return int(value)
    raise EvaluationError(f"int takes a number or a string, not {kind_of(value)}")


def _float(value: Any) -> float:
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 80 or not re.fullmatch(
            r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text
        ):
            raise EvaluationError(f"float: {value!r:.80} is not a number")
        return float(text)
    if isinstance(value, bool | int | float):
        return float(value)
    raise EvaluationError(f"float takes a number or a string, not {kind_of(value)}")


def is_number(value: object) -> bool:
    """Return whether it counts as a number: true and false do, as in Python."""
    return isinstance(value, int | float)


def is_scalar(value: object) -> bool:
    """Return whether it is null, a boolean, a number or a string."""
    return value is None or isinstance(value, bool | int | float | str)


def as_number(value: Any, what: str) -> Any:
    """Return a number as it is. Raises `EvaluationError` on anything else."""
    if not is_number(value):
        raise EvaluationError(f"{what} takes numbers, not {kind_of(value)}")
    return value


def _plain(value: Any) -> Any:
    """Return a mapping as the JSON encoder knows it."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


# Keys in order: an API server hands objects back with sorted keys; strings must not differ by it.
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True, default=_plain
)


def write(value: Any, spend: Callable[[int], None]) -> str:
    """Write a value: a string as it is, everything else as compact JSON.

    `spend` takes the steps that it costs, before they are made.
    """
    if isinstance(value, str):
        spend(len(value) // 1000)
        return value if len(value) <= MAX_TEXT else str(too_long())
    pieces: list[str] = []
    size = 0
    try:
        for piece in _ENCODER.iterencode(value):  # piece by piece, to stop in time
            if len(pieces) % 10 == 0:
                spend(1)
            spend(len(piece) // 1000)
            size += len(piece)
            if size > MAX_TEXT:
                too_long()
            pieces.append(piece)
    except (LimitExceededError, OutOfFuelError):
        raise
    except RecursionError:
        raise LimitExceededError(f"{kind_of(value)} is nested too deep to be written") from None
    except (TypeError, ValueError):
        raise EvaluationError(f"{kind_of(value)} cannot be written as JSON") from None
    return "".join(pieces)


def kind_of(value: object) -> str:
    """Name a value's type as JSON does."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list):
        return "a list"
    return "a mapping" if isinstance(value, Mapping) else "a value of no JSON type"


CALLS: dict[str, Callable[..., Any]] = {
    "len": _len,
    "min": _extreme("min", min),
    "max": _extreme("max", max),
    "sum": _sum,
    "any": lambda value: any(_items(value, "any")),
    "all": lambda value: all(_items(value, "all")),
    "abs": lambda value: abs(as_number(value, "abs")),
    "round": _round,
    "int": _int,
    "float": _float,
    "bool": bool,
}


WALKING = frozenset({"min", "max", "sum", "any", "all"})
"""Functions that look at each item."""
