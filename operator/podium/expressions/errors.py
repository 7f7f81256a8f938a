"""What goes wrong with an expression: only these come out, whatever the input."""

import ast

from podium.errors import PodiumError

__all__ = [
    "EvaluationError",
    "ExpressionError",
    "ExpressionSyntaxError",
    "LimitExceededError",
    "MissingValueError",
    "NotInLanguageError",
]


class ExpressionError(PodiumError, ValueError):
    """An expression is wrong, or could not be evaluated."""


class ExpressionSyntaxError(ExpressionError):
    """It is not an expression of this language; `offset` is the position (0-based), where known."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        self.message = message
        self.offset = offset
        super().__init__(message if offset is None else f"{message} (at character {offset + 1})")


class NotInLanguageError(PodiumError):
    """A part of an expression is not of this language; becomes an `ExpressionSyntaxError`."""

    def __init__(self, message: str, node: ast.expr) -> None:
        self.message = message
        self.node = node
        super().__init__(message)


class EvaluationError(ExpressionError):
    """Its values do not fit together: wrong types, division by zero, an index out of range."""


class MissingValueError(EvaluationError):
    """It names a value that is not there."""

    def __init__(self, path: str, known: str = "") -> None:
        self.path = path
        super().__init__(f"{path} is missing{known}")


class LimitExceededError(EvaluationError):
    """It would take too many steps, or make too large a value."""
