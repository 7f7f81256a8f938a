"""What the language has: names, operators, functions. Everything else is refused."""

import ast
import math
import re
from collections.abc import Sequence

from podium.expressions.errors import NotInLanguageError
from podium.expressions.hints import meant_as_hyphen
from podium.expressions.limits import MAX_BITS, MAX_DEPTH

__all__ = [
    "BINARY",
    "COMPARE",
    "CONSTANTS",
    "ENDING_FIELDS",
    "FUNCTIONS",
    "NODE_FIELDS",
    "ROOT_FIELDS",
    "ROOT_NAMES",
    "STATUSES",
    "check",
    "children",
]

ROOT_NAMES = frozenset({"context", "run", "workflow", "node", "nodes", "item", "index", "config"})
ROOT_FIELDS: dict[str, tuple[str, ...]] = {
    "run": ("name", "id", "startedAt", "scheduledAt"),
    "workflow": ("id", "version", "metadata"),
    "node": ("id", "executionId"),
}
"""Fields of the roots that are closed."""
ENDING_FIELDS = ("phase", "failures")
"""Fields that `run` has besides in nodes of `finally`."""
NODE_FIELDS = (
    "status",
    "reason",
    "message",
    "exitCode",
    "startedAt",
    "completedAt",
    "durationSeconds",
    "retryCount",
)
"""Fields of `nodes.X`."""
STATUSES = (
    "Pending",
    "WaitingForDependencies",
    "Ready",
    "Running",
    "Completed",
    "Failed",
    "Skipped",
    "Cancelled",
)
"""What `nodes.X.status` can be; a test checks that these are the API's."""
CONSTANTS = {"true": True, "false": False, "null": None}
BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}
COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
}
FUNCTIONS: dict[str, tuple[int, int]] = {
    "len": (1, 1),
    "min": (1, 20),
    "max": (1, 20),
    "sum": (1, 1),
    "any": (1, 1),
    "all": (1, 1),
    "abs": (1, 1),
    "round": (1, 2),
    "str": (1, 1),
    "int": (1, 1),
    "float": (1, 1),
    "bool": (1, 1),
    "default": (2, 2),
    "exists": (1, 1),
    "all_status": (2, 2),
}
"""Names of functions with how many arguments they take."""


def check(node: ast.expr, depth: int) -> None:
    """Refuse everything that the language does not have."""
    if depth > MAX_DEPTH:
        raise NotInLanguageError(f"nested deeper than {MAX_DEPTH}", node)
    for child in children(node):
        check(child, depth + 1)


def children(node: ast.expr) -> list[ast.expr]:
    """Return the subexpressions of an expression; refuse what is not of this language."""
    match node:
        case ast.Constant(value=value):
            _check_constant(node, value)
            return []
        case ast.Name(id=name):
            _check_name(node, name)
            return []
        case ast.Attribute(value=value, attr=attr):
            if attr.startswith("__"):
                raise NotInLanguageError(f"no key {attr}: names do not begin with __", node)
            return [value]
        case ast.Subscript(value=value, slice=index):
            if isinstance(index, ast.Slice | ast.Tuple):
                raise NotInLanguageError("slices are not part of the language", node)
            return [value, index]
        case ast.BoolOp(values=values):
            return values
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
            return [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            if isinstance(op, ast.Sub):
                meant_as_hyphen(node)
            return [left, right]
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            _check_compared(left, ops, comparators)
            return [left, *comparators]
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return [test, body, orelse]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return items
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return [key for key in keys if key is not None] + values
        case ast.Call():
            return _check_call(node)
        case _:
            what = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).lower()
            raise NotInLanguageError(f"{what} is not part of the language", node)


def _check_constant(node: ast.Constant, value: object) -> None:
    if value is None or isinstance(value, bool | str | float):
        if isinstance(value, float) and not math.isfinite(value):
            raise NotInLanguageError("the number is too large", node)
        if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
            raise NotInLanguageError("a string cannot hold an unpaired surrogate", node)
        return
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise NotInLanguageError(f"the number has more than {MAX_BITS} bits", node)
        return
    kind = type(value).__name__
    raise NotInLanguageError(f"{kind} literals are not part of the language", node)


def _check_name(node: ast.Name, name: str) -> None:
    if name in ROOT_NAMES or name in CONSTANTS:
        return
    if name in FUNCTIONS:
        raise NotInLanguageError(f"{name} is a function: write {name}(…)", node)
    known = ", ".join(sorted(ROOT_NAMES - {"config"}))  # which only templates of Executors know
    raise NotInLanguageError(
        f"unknown name {name}: write context.{name} for a context key or a node; known are {known}",
        node,
    )


def _check_compared(
    left: ast.expr, ops: Sequence[ast.cmpop], comparators: Sequence[ast.expr]
) -> None:
    """Refuse to compare `nodes.X.status` with a string that is not a status."""
    sides = [left, *comparators]
    for one, op, other in zip(sides, ops, comparators, strict=False):
        if isinstance(op, ast.In | ast.NotIn) and isinstance(other, ast.List | ast.Tuple):
            pairs = [(one, item) for item in other.elts]
        else:
            pairs = [(one, other), (other, one)] if isinstance(op, ast.Eq | ast.NotEq) else []
        for path, value in pairs:
            text = isinstance(value, ast.Constant) and isinstance(value.value, str)
            if text and is_status_path(path):
                check_status(value)  # type: ignore[arg-type]


def is_status_path(node: ast.expr) -> bool:
    """Return whether this is `nodes.X.status`, however it is written."""
    match node:
        case ast.Attribute(value=node_path, attr="status"):
            pass
        case ast.Subscript(value=node_path, slice=ast.Constant(value="status")):
            pass
        case _:
            return False
    return (
        isinstance(node_path, ast.Attribute | ast.Subscript)
        and isinstance(node_path.value, ast.Name)
        and node_path.value.id == "nodes"
    )


def _check_call(node: ast.Call) -> list[ast.expr]:
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
        known = ", ".join(FUNCTIONS)
        raise NotInLanguageError(f"only these functions can be called: {known}", node)
    name = node.func.id
    minimum, maximum = FUNCTIONS[name]
    if node.keywords or not minimum <= len(node.args) <= maximum:
        count = str(minimum) if minimum == maximum else f"{minimum} to {maximum}"
        raise NotInLanguageError(f"{name} takes {count} argument(s), by position", node)
    if name == "exists" and not isinstance(node.args[0], ast.Attribute | ast.Subscript | ast.Name):
        raise NotInLanguageError("exists takes a path such as context.a.b", node)
    if name == "all_status":
        _check_all_status(node)
    return node.args


def _check_all_status(node: ast.Call) -> None:
    """Demand names that can be checked before a run: quoted ids and a quoted status."""
    names, status = node.args
    items = names.elts if isinstance(names, ast.List | ast.Tuple) else []
    if not items or not all(
        isinstance(item, ast.Constant) and isinstance(item.value, str) for item in items
    ):
        raise NotInLanguageError('all_status takes a list of node ids in quotes: ["a", "b"]', node)
    if not isinstance(status, ast.Constant) or not isinstance(status.value, str):
        raise NotInLanguageError('all_status takes a status in quotes: "Completed"', node)
    check_status(status)


def check_status(node: ast.Constant) -> None:
    """Refuse a string that no `nodes.X.status` can be."""
    if node.value not in STATUSES:
        meant = _meant(str(node.value), STATUSES)
        raise NotInLanguageError(f"{node.value!r:.60} is not a status of a node{meant}", node)


def _meant(word: str, known: Sequence[str]) -> str:
    import difflib  # noqa: PLC0415 - only on the way to an error

    close = difflib.get_close_matches(word[:60].capitalize(), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f": it is one of {', '.join(known)}"
