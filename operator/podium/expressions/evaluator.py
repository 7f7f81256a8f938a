"""Evaluation: a walk over the tree that counts its steps."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from podium.expressions.errors import (
    EvaluationError,
    ExpressionError,
    LimitExceededError,
    MissingValueError,
)
from podium.expressions.fuel import FUEL, OutOfFuelError
from podium.expressions.functions import (
    CALLS,
    WALKING,
    as_number,
    is_number,
    is_scalar,
    kind_of,
    write,
)
from podium.expressions.limits import (
    MAX_BITS,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_STEPS,
    MAX_TEXT,
    bounded,
    finite,
    too_long,
)
from podium.expressions.references import literal_strings
from podium.expressions.syntax import BINARY, COMPARE, CONSTANTS

__all__ = ["Evaluation"]


class Evaluation:
    """One evaluation: a walk over the tree that counts its steps."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.scope = scope
        self.steps = 0
        self.fuel = FUEL.get()
        self.limit = MAX_STEPS if self.fuel is None else min(MAX_STEPS, self.fuel.left)

    def spend(self, steps: int = 1) -> None:
        """Take steps before they are made. One is about ten items or a thousand characters."""
        if self.steps + steps > self.limit:
            if self.limit < MAX_STEPS:
                raise OutOfFuelError
            raise LimitExceededError(f"the expression takes more than {MAX_STEPS} steps")
        self.steps += steps

    def weigh(self, value: Any) -> None:
        """Take what it costs to ask for the size of what is looked up on demand: `context`."""
        if isinstance(value, Mapping) and not isinstance(value, dict):
            self.spend(len(value))

    def is_true(self, node: ast.expr) -> bool:
        """Return whether the value of an expression counts as true."""
        value = self.value(node)
        self.weigh(value)
        return bool(value)

    def close(self) -> None:
        """Take what was spent from the fuel, if there is any."""
        if self.fuel is not None:
            self.fuel.left -= self.steps

    def value(self, node: ast.expr) -> Any:
        """Return the value of an expression."""
        self.spend()
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                if name in CONSTANTS:
                    return CONSTANTS[name]
                if name not in self.scope:
                    raise MissingValueError(name, ": it is not known here")
                return self.scope[name]
            case ast.Attribute(value=value, attr=attr):
                return self.key(node, self.value(value), attr)
            case ast.Subscript(value=value, slice=index):
                return self.key(node, self.value(value), self.value(index))
            case ast.BoolOp(op=op, values=values):
                result: Any = None
                for part in values:
                    result = self.value(part)
                    self.weigh(result)
                    if bool(result) is isinstance(op, ast.Or):
                        return result
                return result
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self.is_true(operand)
            case ast.UnaryOp(op=op, operand=operand):
                number = as_number(self.value(operand), "-" if isinstance(op, ast.USub) else "+")
                return bounded(-number if isinstance(op, ast.USub) else +number)
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(BINARY[type(op)], self.value(left), self.value(right))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                one = self.value(left)
                for op_, part in zip(ops, comparators, strict=True):
                    other = self.value(part)
                    if not self.compare(COMPARE[type(op_)], one, other):
                        return False
                    one = other
                return True
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self.is_true(test) else orelse)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.value(item) for item in items]
            case ast.Dict(keys=keys, values=values):
                return self.mapping(keys, values)
            case ast.Call(func=ast.Name(id=name), args=args):
                return self.call(name, args)
        raise EvaluationError(f"cannot evaluate {type(node).__name__}")

    def mapping(self, keys: Sequence[ast.expr | None], values: Sequence[ast.expr]) -> Any:
        """Return the value of a mapping written in the expression."""
        made: dict[str, Any] = {}
        for key, item in zip(keys, values, strict=True):
            name = self.value(key) if key is not None else None
            if not isinstance(name, str):
                raise EvaluationError(f"a key must be a string, not {kind_of(name)}")
            made[name] = self.value(item)
        return made

    def key(self, node: ast.Attribute | ast.Subscript, holder: Any, key: Any) -> Any:
        """Look up a key of a mapping or a position of a list; never an attribute."""
        if isinstance(holder, Mapping):
            if not isinstance(key, str):
                raise EvaluationError(f"a key must be a string, not {kind_of(key)}")
            try:
                return finite(holder[key], lambda: _path(node, key))
            except KeyError:
                raise MissingValueError(_path(node, key)) from None
        if isinstance(holder, list | str) and isinstance(node, ast.Subscript):
            if not isinstance(key, int) or isinstance(key, bool):
                raise EvaluationError(f"{_path(node)}: a position must be a whole number")
            if not -len(holder) <= key < len(holder):
                items = "characters" if isinstance(holder, str) else "items"
                raise MissingValueError(_path(node, key), f": there are {len(holder)} {items}")
            return finite(holder[key], lambda: _path(node, key))
        if holder is None:
            raise MissingValueError(_path(node, key), f": {_path(node.value)} is null")
        what = f"{key!r:.80}" if isinstance(key, str) else "items"
        raise EvaluationError(f"{_path(node.value)} is {kind_of(holder)} and has no {what}")

    def binary(self, op: str, left: Any, right: Any) -> Any:
        """Return `left OP right`, bounded."""
        if op == "+" and isinstance(left, str) and isinstance(right, str):
            self.spend((len(left) + len(right)) // 1000)
            return bounded(left + right) if len(left) + len(right) <= MAX_TEXT else too_long()
        if op == "+" and isinstance(left, list) and isinstance(right, list):
            if len(left) + len(right) > MAX_ITEMS:
                raise LimitExceededError(f"the list has more than {MAX_ITEMS} items")
            self.spend((len(left) + len(right)) // 10)
            return [*left, *right]
        if not (is_number(left) and is_number(right)):
            raise EvaluationError(f"{kind_of(left)} {op} {kind_of(right)} is not defined")
        try:
            if op == "**" and isinstance(left, int) and isinstance(right, int):
                if right < 0:
                    left = float(left)
                elif abs(left) > 1 and left.bit_length() * right > 2 * MAX_BITS:
                    raise LimitExceededError(f"the number has more than {MAX_BITS} bits")
            return bounded(_ARITHMETIC[op](left, right))
        except ZeroDivisionError:
            raise EvaluationError("division by zero") from None
        except OverflowError:
            raise LimitExceededError("the number is too large") from None

    def compare(self, op: str, left: Any, right: Any) -> bool:
        """Return whether `left OP right` holds."""
        if op in ("is", "is not"):
            if not any(side is None or isinstance(side, bool) for side in (left, right)):
                raise EvaluationError(f"{op} is for null, true and false: use == or !=")
            return (left is right) is (op == "is")
        if op in ("==", "!="):
            return self.equal(left, right) is (op == "==")
        if op in ("in", "not in"):
            return self.contains(right, left) is (op == "in")
        both = (is_number(left) and is_number(right)) or (
            isinstance(left, str) and isinstance(right, str)
        )
        if not both:
            raise EvaluationError(f"{kind_of(left)} {op} {kind_of(right)} is not defined")
        if isinstance(left, str):
            self.spend(min(len(left), len(right)) // 1000)
        return bool(_ORDER[op](left, right))

    def equal(self, left: Any, right: Any, depth: int = 0) -> bool:
        """Compare by value, counting what is looked at."""
        self.spend()
        if depth > 2 * MAX_DEPTH:
            raise LimitExceededError("the values are nested too deep to compare")
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            self.weigh(left)
            self.weigh(right)
            return len(left) == len(right) and all(
                key in right and self.equal(item, right[key], depth + 1)
                for key, item in left.items()
            )
        if isinstance(left, list) and isinstance(right, list):
            return len(left) == len(right) and all(
                self.equal(one, other, depth + 1) for one, other in zip(left, right, strict=True)
            )
        if isinstance(left, str) and isinstance(right, str):
            self.spend(min(len(left), len(right)) // 1000)
            return left == right
        if is_scalar(left) and is_scalar(right):
            return bool(left == right)
        return False

    def contains(self, holder: Any, item: Any) -> bool:
        """Return whether a key, an item or a part of a string is there."""
        if isinstance(holder, Mapping):
            return isinstance(item, str) and item in holder
        if isinstance(holder, list):
            return any(self.equal(item, other) for other in holder)
        if isinstance(holder, str):
            if not isinstance(item, str):
                raise EvaluationError(f"{kind_of(item)} in a string is not defined")
            self.spend(len(holder) // 1000)
            return item in holder
        raise EvaluationError(f"in {kind_of(holder)} is not defined")

    def call(self, name: str, args: list[ast.expr]) -> Any:
        """Return the value of a function."""
        if name in ("default", "exists"):
            try:
                value = self.value(args[0])
            except MissingValueError:
                value = None
            if name == "exists":
                return value is not None
            return self.value(args[1]) if value is None else value
        if name == "all_status":
            return self.all_status(literal_strings(args[0]), self.value(args[1]))
        values = [self.value(arg) for arg in args]
        for value in values:
            self.weigh(value)
            if name in WALKING and isinstance(value, list | Mapping):
                self.spend(len(value) // 10)
            elif name in ("int", "float") and isinstance(value, str):
                self.spend(len(value) // 1000)
        try:
            if name == "str":
                return bounded(write(values[0], self.spend))
            return bounded(CALLS[name](*values))
        except ExpressionError:
            raise
        except OverflowError:
            raise LimitExceededError(f"{name}: the number is too large") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise EvaluationError(f"{name}: {error}") from None

    def all_status(self, names: Sequence[str], status: str) -> bool:
        """Return whether all these nodes have this status."""
        nodes = self.scope.get("nodes", {})
        for name in names:
            self.spend()
            if name not in nodes:
                raise MissingValueError(f"nodes[{name!r:.80}]", ": it is not known here")
            if nodes[name]["status"] != status:
                return False
        return True


def _path(node: ast.expr, key: Any = None) -> str:
    """Write the path that an expression reads, its last key as computed where it is given."""
    if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant):
        simple = type(key) is int and key.bit_length() <= MAX_BITS
        if simple or isinstance(key, str):
            shown = ast.Constant(value=key if simple else key[:80])
            node = ast.Subscript(value=node.value, slice=shown, ctx=ast.Load())
    return ast.unparse(node)


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
}


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
