"""From a string to an expression that can be evaluated."""

import ast
import io
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from podium.bounded_cache import bounded_cache
from podium.expressions.errors import ExpressionSyntaxError, LimitExceededError, NotInLanguageError
from podium.expressions.evaluator import Evaluation
from podium.expressions.hints import hint, without_braces
from podium.expressions.limits import MAX_CHARACTERS, MAX_DEPTH, finite
from podium.expressions.references import Reference, references_of
from podium.expressions.syntax import check

__all__ = ["Expression", "evaluate_condition", "parse"]

KEPT_BYTES = 16 * 1024 * 1024
BYTES_PER_CHARACTER = 400
"""Of a parsed expression, at most: that of `1+1+1`. The usual ones take a fifth of it."""


class Expression(NamedTuple):
    """A parsed expression. Evaluating it changes nothing."""

    source: str
    tree: ast.expr
    references: tuple[Reference, ...]

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """Return its value over `scope`, the values of the root names.

        Raises `EvaluationError` or one of its kinds; `OutOfFuelError` where fuel bounds it.
        """
        evaluation = Evaluation(scope)
        try:
            return finite(evaluation.value(self.tree), "the result")
        except RecursionError:
            raise LimitExceededError("the values are nested too deep") from None
        finally:
            evaluation.close()


def _cost(source: str) -> int:
    return 500 + BYTES_PER_CHARACTER * len(source)


@bounded_cache(_cost, KEPT_BYTES)
def parse(source: str) -> Expression:
    """Parse an expression. Raises `ExpressionSyntaxError`."""
    if len(source) > MAX_CHARACTERS:
        raise ExpressionSyntaxError(
            f"the expression has {len(source)} characters, the limit is {MAX_CHARACTERS}"
        )
    text = source.strip()
    if not text:
        raise ExpressionSyntaxError("the expression is empty")
    _check_nesting(text)
    if (meant := without_braces(text)) is not None:
        raise ExpressionSyntaxError(
            f"is an expression already: leave out ${{{{ }}}}, write {meant:.80}"
        )
    before = len(source) - len(source.lstrip())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as "is" with a literal
            tree = ast.parse(text, mode="eval").body
        check(tree, 0)
        references = tuple(dict.fromkeys(references_of(tree, optional=False)))
    except SyntaxError as error:
        offset = _syntax_offset(text, error)
        raise ExpressionSyntaxError(
            f"is not an expression: {error.msg}{hint(text)}",
            None if offset is None else before + offset,
        ) from None
    except NotInLanguageError as error:
        offset = _offset(text, error.node.lineno, error.node.col_offset)
        raise ExpressionSyntaxError(error.message, before + offset) from None
    except UnicodeEncodeError as error:
        raise ExpressionSyntaxError(
            "a string cannot hold an unpaired surrogate", before + error.start
        ) from None
    except (ValueError, RecursionError, MemoryError, OverflowError, TypeError) as error:
        raise ExpressionSyntaxError(f"is not an expression: {error}") from None
    return Expression(source, tree, references)


def evaluate_condition(expression: Expression, scope: Mapping[str, Any]) -> bool:
    """Return whether a condition holds: its value is true as Python sees it, as in the seed."""
    return bool(expression.evaluate(scope))


def _syntax_offset(source: str, error: SyntaxError) -> int | None:
    if error.offset is None or error.lineno is None:
        return None
    if error.offset < 1:  # the parser's way to say: at the end
        return len(source)
    lines = list(io.StringIO(source, newline=""))
    return min(len(source), sum(map(len, lines[: error.lineno - 1])) + error.offset - 1)


def _offset(source: str, line: int, column: int) -> int:
    """Count characters where the tree counts lines and bytes."""
    lines = list(io.StringIO(source, newline=""))  # as the parser does: \n, \r and \r\n
    here = lines[line - 1].encode()[:column].decode(errors="ignore")
    return sum(map(len, lines[: line - 1])) + len(here)


def _check_nesting(source: str) -> None:
    """Refuse what would take the parser itself too deep."""
    depth = 0
    for character in source:
        if character in "([{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ExpressionSyntaxError(f"nested deeper than {MAX_DEPTH}")
        elif character in ")]}":
            depth -= 1
