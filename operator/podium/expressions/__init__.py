"""Expressions: conditions, `${{ }}` in configs. A safe subset of Python expressions over JSON.

Why our own walker and no sandbox library. A library that starts from Python and takes things away
keeps being escaped through what it left:

- simpleeval: functions' globals, generators' frames, modules hung on the objects it was given (its
  issues 15 and 138; CVE-2026-32640).
- asteval: `__reduce__`, format strings, changed syntax trees, exceptions that are no `Exception`
  (its issue 86; CVE-2025-24359, GHSA-vp47-9734-prjw, CVE-2026-55244).
- RestrictedPython: generators' frames, `format`, `except*`, shadowed guards, `string.Formatter`
  (CVE-2023-37271, CVE-2023-41039, CVE-2025-22153, GHSA-ffg3-p8fm-mjx2, CVE-2026-76825).
- Jinja's sandbox: `str.format` four times, by another door each time (CVE-2016-10745,
  CVE-2019-10906, CVE-2024-56326, CVE-2025-27516); its documentation leaves size and time to others.
- cel-python has no advisory that we found, but is another language than the seed's conditions.

All of these escapes reach a Python attribute or run Python code in the end. Conditions need
neither: `ast.parse` is used as a parser, and the tree is interpreted here, over plain data. There
is no `getattr`, no call of anything but the functions named below, no way to name an object.
`context.x` is a look-up of a key in a mapping and never more.

Everything is bounded: characters, depth, steps, size of each result. Whatever the input, only the
errors of this module come out (a fuzz test holds that).

A value is missing where a key is not there, a position is past the end of a list, or something is
read below null. `default(x, y)` is y where x is missing or null; `exists(x)` is false in the same
cases. A condition holds when its value is true as Python sees it.

Where this language has a value for an expression that Python has one for, the two are the same
(true and false count as 1 and 0, say), but for tuples, which are lists, and `str`, which writes
JSON as templates do. What would make large values (repeated texts and lists), slices and methods
are refused.
"""

import ast
import io
import json
import keyword
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = [
    "MAX_CHARACTERS",
    "MAX_STEPS",
    "ROOT_NAMES",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "ExpressionSyntaxError",
    "LimitExceededError",
    "MissingValueError",
    "Reference",
    "Template",
    "evaluate_condition",
    "has_template",
    "parse",
    "parse_template",
]

MAX_CHARACTERS = 1024
MAX_DEPTH = 50
MAX_STEPS = 10_000
MAX_TEXT = 65_536
"""Characters of a text that an expression makes."""
MAX_ITEMS = 10_000
"""Items of a list that an expression makes by adding lists."""
MAX_BITS = 256
"""Bits of a whole number that an expression makes."""
MAX_EXPRESSIONS = 1_000
"""Expressions in one text with `${{ }}`."""

ROOT_NAMES = frozenset({"context", "run", "workflow", "node", "item", "index"})
_CONSTANTS = {"true": True, "false": False, "null": None}


class ExpressionError(ValueError):
    """An expression is wrong, or could not be evaluated."""


class ExpressionSyntaxError(ExpressionError):
    """It is no expression of this language; `offset` is the position (0-based), where known."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        self.message = message
        self.offset = offset
        super().__init__(message if offset is None else f"{message} (at character {offset + 1})")


class _RefusedError(Exception):
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


@dataclass(frozen=True, slots=True)
class Reference:
    """A path that an expression reads, as far as it stands in its text."""

    path: tuple[str | int, ...]
    optional: bool = False
    """Whether it stands inside default() or exists()."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression. Evaluating it changes nothing."""

    source: str
    tree: ast.expr
    references: tuple[Reference, ...]

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """Return its value over `scope`, the values of the root names.

        Raises `EvaluationError` or one of its kinds.
        """
        try:
            return _finite(_Walk(scope).value(self.tree), "the result")
        except RecursionError:
            raise LimitExceededError("the values are nested too deep") from None


@dataclass(frozen=True, slots=True)
class Template:
    """A text with `${{ EXPRESSION }}` in it. `$${{` stands for `${{` itself."""

    source: str
    parts: tuple[str | Expression, ...]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """Its expressions, in their order."""
        return tuple(part for part in self.parts if isinstance(part, Expression))

    @property
    def references(self) -> tuple[Reference, ...]:
        """All paths that its expressions read, each once."""
        found = [reference for part in self.expressions for reference in part.references]
        return tuple(dict.fromkeys(found))

    def render(self, scope: Mapping[str, Any]) -> str:
        """Fill in the expressions: texts as they are, everything else as compact JSON."""
        pieces = []
        size = 0
        for part in self.parts:
            piece = part if isinstance(part, str) else _text(part.evaluate(scope))
            size += len(piece)
            if size > MAX_TEXT + len(self.source):
                raise LimitExceededError(f"the text has more than {MAX_TEXT} characters")
            pieces.append(piece)
        return "".join(pieces)


@lru_cache(maxsize=4096)
def parse(source: str) -> Expression:
    """Parse an expression. Raises `ExpressionSyntaxError`."""
    if len(source) > MAX_CHARACTERS:
        raise ExpressionSyntaxError(
            f"the expression has {len(source)} characters, the most is {MAX_CHARACTERS}"
        )
    text = source.strip()
    if not text:
        raise ExpressionSyntaxError("the expression is empty")
    _check_nesting(text)
    before = len(source) - len(source.lstrip())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as "is" with a literal
            tree = ast.parse(text, mode="eval").body
        _check(tree, 0)
        references = tuple(dict.fromkeys(_references(tree, optional=False)))
    except SyntaxError as error:
        offset = _syntax_offset(text, error)
        raise ExpressionSyntaxError(
            f"no expression: {error.msg}{_hint(text)}", None if offset is None else before + offset
        ) from None
    except _RefusedError as error:
        offset = _offset(text, error.node.lineno, error.node.col_offset)
        raise ExpressionSyntaxError(error.message, before + offset) from None
    except UnicodeEncodeError as error:
        raise ExpressionSyntaxError(
            "half a character (a lone surrogate) is no text", before + error.start
        ) from None
    except (ValueError, RecursionError, MemoryError, OverflowError, TypeError) as error:
        raise ExpressionSyntaxError(f"no expression: {error}") from None
    return Expression(source, tree, references)


def evaluate_condition(expression: Expression, scope: Mapping[str, Any]) -> bool:
    """Return whether a condition holds: its value is true as Python sees it, as in the seed."""
    return bool(expression.evaluate(scope))


def has_template(text: str) -> bool:
    """Tell whether a text holds `${{`."""
    return "${{" in text


def parse_template(text: str) -> Template:
    """Parse a text with `${{ }}`. Raises `ExpressionSyntaxError`, its offset being in the text.

    Only the expressions are kept for the next time: a text may be a script of megabytes.
    """
    parts: list[str | Expression] = []
    count = 0
    plain = ""
    position = 0
    while (start := text.find("${{", position)) >= 0:
        if start > position and text[start - 1] == "$":
            plain += text[position : start - 1] + "${{"
            position = start + 3
            continue
        plain += text[position:start]
        end = _template_end(text, start + 3)
        if end is None:
            raise ExpressionSyntaxError(
                f"${{{{ has no }}}} within {MAX_CHARACTERS} characters: "
                "write $${{ for the characters ${{",
                start,
            )
        if plain:
            parts.append(plain)
            plain = ""
        count += 1
        if count > MAX_EXPRESSIONS:
            raise ExpressionSyntaxError(f"a text takes {MAX_EXPRESSIONS} expressions", start)
        parts.append(_parse_within(text[start + 3 : end], start + 3))
        position = end + 2
    plain += text[position:]
    if plain:
        parts.append(plain)
    return Template(text, tuple(parts))


def _parse_within(source: str, start: int) -> Expression:
    """Parse an expression of a text; offsets of errors count from the text's beginning."""
    before = len(source) - len(source.lstrip())
    try:
        return parse(source.strip())
    except ExpressionSyntaxError as error:
        offset = start if error.offset is None else start + before + error.offset
        raise ExpressionSyntaxError(error.message, offset) from None


def _template_end(text: str, position: int) -> int | None:
    """Find the }} that closes a template, passing over texts and braces of the expression."""
    depth = 0
    quote = ""
    last = min(len(text), position + MAX_CHARACTERS + 2)
    while position < last:
        character = text[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return position if text[position : position + 2] == "}}" else None
            depth -= 1
        position += 1
    return None


# Parsing: what the language has

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}
_COMPARE: dict[type[ast.cmpop], str] = {
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
_FUNCTIONS: dict[str, tuple[int, int]] = {
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
}
"""Names of functions with how many arguments they take."""


_HINTS = [
    (re.compile(rf"\.\s*({'|'.join(keyword.kwlist)})\b"), "write ['{}'] for a key of that name"),
    (re.compile(r"\.(\w+(?:-\w+)*-\d\w*)"), "a name with a hyphen is written ['{}']"),
    (re.compile(r"&&"), "write and"),
    (re.compile(r"\|\|"), "write or"),
    (re.compile(r"\b(AND|OR|NOT)\b"), "and, or, not are written small"),
    (re.compile(r"===|(?<![=!<>:])=(?!=)"), "write == to compare"),
    (re.compile(r"!(?!=)"), "write not"),
]
"""What people write who know another language, with what it is in this one."""


def _hint(source: str) -> str:
    """Guess what was meant where the parser says no more than `invalid syntax`."""
    outside = re.sub(r"'[^']*'|\"[^\"]*\"", "''", source)
    for pattern, hint in _HINTS:
        if found := pattern.search(outside):
            return ": " + hint.format(found.group(found.re.groups))
    return ""


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


def _check(node: ast.expr, depth: int) -> None:
    """Refuse everything that the language does not have."""
    if depth > MAX_DEPTH:
        raise _RefusedError(f"nested deeper than {MAX_DEPTH}", node)
    for child in _children(node):
        _check(child, depth + 1)


def _children(node: ast.expr) -> list[ast.expr]:
    """Return the parts of an expression that are expressions; refuse what is none of ours."""
    match node:
        case ast.Constant(value=value):
            _check_constant(node, value)
            return []
        case ast.Name(id=name):
            _check_name(node, name)
            return []
        case ast.Attribute(value=value, attr=attr):
            if attr.startswith("__"):
                raise _RefusedError(f"no key {attr}: names do not begin with __", node)
            return [value]
        case ast.Subscript(value=value, slice=index):
            if isinstance(index, ast.Slice | ast.Tuple):
                raise _RefusedError("slices are not part of the language", node)
            return [value, index]
        case ast.BoolOp(values=values):
            return values
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
            return [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            if isinstance(op, ast.Sub):
                _hint_hyphen(node)
            return [left, right]
        case ast.Compare(left=left, comparators=comparators):
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
            raise _RefusedError(f"{what} is not part of the language", node)


def _check_constant(node: ast.Constant, value: object) -> None:
    if value is None or isinstance(value, bool | str | float):
        if isinstance(value, float) and not math.isfinite(value):
            raise _RefusedError("the number is too large", node)
        if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
            raise _RefusedError("half a character (a lone surrogate) is no text", node)
        return
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise _RefusedError(f"the number has more than {MAX_BITS} bits", node)
        return
    kind = type(value).__name__
    raise _RefusedError(f"{kind} literals are not part of the language", node)


def _check_name(node: ast.Name, name: str) -> None:
    if name in ROOT_NAMES or name in _CONSTANTS:
        return
    if name in _FUNCTIONS:
        raise _RefusedError(f"{name} is a function: write {name}(…)", node)
    known = ", ".join(sorted(ROOT_NAMES))
    raise _RefusedError(
        f"unknown name {name}: write context.{name} for a context key or a node; known are {known}",
        node,
    )


def _check_call(node: ast.Call) -> list[ast.expr]:
    if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS:
        known = ", ".join(_FUNCTIONS)
        raise _RefusedError(f"only these functions can be called: {known}", node)
    name = node.func.id
    least, most = _FUNCTIONS[name]
    if node.keywords or not least <= len(node.args) <= most:
        count = str(least) if least == most else f"{least} to {most}"
        raise _RefusedError(f"{name} takes {count} argument(s), by position", node)
    if name == "exists" and not isinstance(node.args[0], ast.Attribute | ast.Subscript | ast.Name):
        raise _RefusedError("exists takes a path such as context.a.b", node)
    return node.args


def _hint_hyphen(node: ast.BinOp) -> None:
    """`context.my-node` is parsed as a subtraction: say what is meant."""
    rights: list[ast.expr] = []
    left: ast.expr = node
    while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Sub):
        rights.insert(0, left.right)
        left = left.left
    if not isinstance(left, ast.Attribute):
        return
    words = [left.attr]
    before: ast.expr = left
    for right in rights:
        word = _first_word(right)
        tight = before.end_lineno == right.lineno and before.end_col_offset == right.col_offset - 1
        if word is None or not tight:
            break
        words.append(word)
        before = right
        if not isinstance(right, ast.Name | ast.Constant):
            break
    if all(word.isdecimal() for word in words[1:]):  # context.n-1 is a subtraction
        return
    key = ast.Constant(value="-".join(words))
    meant = ast.unparse(ast.Subscript(value=left.value, slice=key, ctx=ast.Load()))
    raise _RefusedError(
        f"a name with a hyphen is written in brackets: {meant}; "
        "a subtraction has a space on each side of the -",
        node,
    )


def _first_word(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return str(node.value)
    return node.id if isinstance(node, ast.Name) else None


def _references(node: ast.expr, *, optional: bool) -> Iterator[Reference]:
    path = _static_path(node)
    if path is not None:
        yield Reference(path, optional)
        # The indexes of a dynamic path read something themselves.
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute | ast.Subscript):
            if isinstance(inner, ast.Subscript) and not isinstance(inner.slice, ast.Constant):
                yield from _references(inner.slice, optional=optional)
            inner = inner.value
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        guarded = node.func.id in ("default", "exists")
        for position, argument in enumerate(node.args):
            yield from _references(argument, optional=optional or (guarded and position == 0))
        return
    for child in _children(node):
        yield from _references(child, optional=optional)


def _static_path(node: ast.expr) -> tuple[str | int, ...] | None:
    """Return the path of `context.a['b'][0]`, up to its first computed index."""
    steps: list[str | int | None] = []
    while True:
        if isinstance(node, ast.Attribute):
            steps.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            index = node.slice
            constant = index.value if isinstance(index, ast.Constant) else None
            fits = isinstance(constant, str | int) and not isinstance(constant, bool)
            steps.append(constant if fits else None)  # type: ignore[arg-type]
            node = node.value
        elif isinstance(node, ast.Name) and node.id in ROOT_NAMES:
            path: list[str | int] = [node.id]
            for step in reversed(steps):
                if step is None:
                    break
                path.append(step)
            return tuple(path)
        else:
            return None


# Evaluating


class _Walk:
    """One evaluation: a walk over the tree that counts its steps."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.scope = scope
        self.steps = 0

    def spend(self, steps: int = 1) -> None:
        """Take steps before they are made. One is about ten items or a thousand characters."""
        if self.steps + steps > MAX_STEPS:
            raise LimitExceededError(f"the expression takes more than {MAX_STEPS} steps")
        self.steps += steps

    def value(self, node: ast.expr) -> Any:
        self.spend()
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                if name in _CONSTANTS:
                    return _CONSTANTS[name]
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
                    if bool(result) is isinstance(op, ast.Or):
                        return result
                return result
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self.value(operand)
            case ast.UnaryOp(op=op, operand=operand):
                number = _number(self.value(operand), "-" if isinstance(op, ast.USub) else "+")
                return _bounded(-number if isinstance(op, ast.USub) else +number)
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(_BINARY[type(op)], self.value(left), self.value(right))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                one = self.value(left)
                for op_, part in zip(ops, comparators, strict=True):
                    other = self.value(part)
                    if not self.compare(_COMPARE[type(op_)], one, other):
                        return False
                    one = other
                return True
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self.value(test) else orelse)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.value(item) for item in items]
            case ast.Dict(keys=keys, values=values):
                return self.mapping(keys, values)
            case ast.Call(func=ast.Name(id=name), args=args):
                return self.call(name, args)
        raise EvaluationError(f"cannot evaluate {type(node).__name__}")

    def mapping(self, keys: Sequence[ast.expr | None], values: Sequence[ast.expr]) -> Any:
        made: dict[str, Any] = {}
        for key, item in zip(keys, values, strict=True):
            name = self.value(key) if key is not None else None
            if not isinstance(name, str):
                raise EvaluationError(f"a key must be a text, not {_kind(name)}")
            made[name] = self.value(item)
        return made

    def key(self, node: ast.Attribute | ast.Subscript, holder: Any, key: Any) -> Any:
        """Look up a key of a mapping or a position of a list; never an attribute."""
        if isinstance(holder, Mapping):
            if not isinstance(key, str):
                raise EvaluationError(f"a key must be a text, not {_kind(key)}")
            try:
                return _finite(holder[key], lambda: _path(node, key))
            except KeyError:
                raise MissingValueError(_path(node, key)) from None
        if isinstance(holder, list | str) and isinstance(node, ast.Subscript):
            if not isinstance(key, int) or isinstance(key, bool):
                raise EvaluationError(f"{_path(node)}: a position must be a whole number")
            if not -len(holder) <= key < len(holder):
                items = "characters" if isinstance(holder, str) else "items"
                raise MissingValueError(_path(node, key), f": there are {len(holder)} {items}")
            return _finite(holder[key], lambda: _path(node, key))
        if holder is None:
            raise MissingValueError(_path(node, key), f": {_path(node.value)} is null")
        what = f"{key!r:.80}" if isinstance(key, str) else "items"
        raise EvaluationError(f"{_path(node.value)} is {_kind(holder)} and has no {what}")

    def binary(self, op: str, left: Any, right: Any) -> Any:
        if op == "+" and isinstance(left, str) and isinstance(right, str):
            return _bounded(left + right) if len(left) + len(right) <= MAX_TEXT else _too_long()
        if op == "+" and isinstance(left, list) and isinstance(right, list):
            if len(left) + len(right) > MAX_ITEMS:
                raise LimitExceededError(f"the list has more than {MAX_ITEMS} items")
            self.spend((len(left) + len(right)) // 10)
            return [*left, *right]
        if not (_is_number(left) and _is_number(right)):
            raise EvaluationError(f"{_kind(left)} {op} {_kind(right)} is not defined")
        try:
            if op == "**" and isinstance(left, int) and isinstance(right, int):
                if right < 0:
                    left = float(left)
                elif abs(left) > 1 and left.bit_length() * right > 2 * MAX_BITS:
                    raise LimitExceededError(f"the number has more than {MAX_BITS} bits")
            return _bounded(_ARITHMETIC[op](left, right))
        except ZeroDivisionError:
            raise EvaluationError("division by zero") from None
        except OverflowError:
            raise LimitExceededError("the number is too large") from None

    def compare(self, op: str, left: Any, right: Any) -> bool:
        if op in ("is", "is not"):
            if not any(side is None or isinstance(side, bool) for side in (left, right)):
                raise EvaluationError(f"{op} is for null, true and false: use == or !=")
            return (left is right) is (op == "is")
        if op in ("==", "!="):
            return self.equal(left, right) is (op == "==")
        if op in ("in", "not in"):
            return self.contains(right, left) is (op == "in")
        both = (_is_number(left) and _is_number(right)) or (
            isinstance(left, str) and isinstance(right, str)
        )
        if not both:
            raise EvaluationError(f"{_kind(left)} {op} {_kind(right)} is not defined")
        return bool(_ORDER[op](left, right))

    def equal(self, left: Any, right: Any, depth: int = 0) -> bool:
        """Compare by value, counting what is looked at."""
        self.spend()
        if depth > 2 * MAX_DEPTH:
            raise LimitExceededError("the values are nested too deep to compare")
        if isinstance(left, Mapping) and isinstance(right, Mapping):
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
        if _is_scalar(left) and _is_scalar(right):
            return bool(left == right)
        return False

    def contains(self, holder: Any, item: Any) -> bool:
        if isinstance(holder, Mapping):
            return isinstance(item, str) and item in holder
        if isinstance(holder, list):
            return any(self.equal(item, other) for other in holder)
        if isinstance(holder, str):
            if not isinstance(item, str):
                raise EvaluationError(f"{_kind(item)} in a text is not defined")
            self.spend(len(holder) // 1000)
            return item in holder
        raise EvaluationError(f"in {_kind(holder)} is not defined")

    def call(self, name: str, args: list[ast.expr]) -> Any:
        if name in ("default", "exists"):
            try:
                value = self.value(args[0])
            except MissingValueError:
                value = None
            if name == "exists":
                return value is not None
            return self.value(args[1]) if value is None else value
        values = [self.value(arg) for arg in args]
        if name in _WALKING:
            for value in values:
                if isinstance(value, list | Mapping):
                    self.spend(len(value) // 10)
        try:
            return _bounded(_CALLS[name](*values))
        except ExpressionError:
            raise
        except OverflowError:
            raise LimitExceededError(f"{name}: the number is too large") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise EvaluationError(f"{name}: {error}") from None


def _items(value: Any, name: str) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return list(value)
    raise EvaluationError(f"{name} takes a list, not {_kind(value)}")


def _len(value: Any) -> int:
    if isinstance(value, str | list | Mapping):
        return len(value)
    raise EvaluationError(f"len takes a text, a list or a mapping, not {_kind(value)}")


def _extreme(name: str, pick: Callable[..., Any]) -> Callable[..., Any]:
    def extreme(*values: Any) -> Any:
        items = _items(values[0], name) if len(values) == 1 else list(values)
        if not items:
            raise EvaluationError(f"{name} of nothing")
        if not (all(_is_number(i) for i in items) or all(isinstance(i, str) for i in items)):
            raise EvaluationError(f"{name} takes numbers or texts, not both or others")
        return pick(items)

    return extreme


def _sum(value: Any) -> Any:
    total: int | float = 0
    for item in _items(value, "sum"):
        total = _bounded(total + _number(item, "sum"))
    return total


def _round(value: Any, digits: Any = None) -> Any:
    number = _number(value, "round")
    if digits is None:
        return round(number)
    if not isinstance(digits, int) or isinstance(digits, bool) or abs(digits) > 30:
        raise EvaluationError("round takes a whole number of digits, 30 at most")
    return round(number, digits)


def _int(value: Any) -> int:
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 80 or not re.fullmatch(r"[+-]?[0-9]+", text):
            raise EvaluationError(f"int: {value!r:.80} is no whole number")
        return int(text)
    if isinstance(value, bool | int | float):
        return int(value)
    raise EvaluationError(f"int takes a number or a text, not {_kind(value)}")


def _float(value: Any) -> float:
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 80 or not re.fullmatch(
            r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text
        ):
            raise EvaluationError(f"float: {value!r:.80} is no number")
        return float(text)
    if isinstance(value, bool | int | float):
        return float(value)
    raise EvaluationError(f"float takes a number or a text, not {_kind(value)}")


def _is_number(value: object) -> bool:
    """Tell whether it counts as a number: true and false do, as in Python."""
    return isinstance(value, int | float)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _number(value: Any, what: str) -> Any:
    if not _is_number(value):
        raise EvaluationError(f"{what} takes numbers, not {_kind(value)}")
    return value


def _finite(value: Any, what: str | Callable[[], str]) -> Any:
    """Refuse infinity and NaN, which some readers of JSON let in."""
    if isinstance(value, float) and not math.isfinite(value):
        raise EvaluationError(f"{what if isinstance(what, str) else what()} is no finite number")
    return value


def _bounded(value: Any) -> Any:
    """Refuse a result that is too large, or no number."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise LimitExceededError(f"the number has more than {MAX_BITS} bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise LimitExceededError("the number is too large")  # or NaN, out of numbers too large
    if isinstance(value, complex):
        raise EvaluationError("the result is no real number")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return _too_long()
    return value


def _too_long() -> Any:
    raise LimitExceededError(f"the text has more than {MAX_TEXT} characters")


def _plain(value: Any) -> Any:
    """Return a mapping as the JSON encoder knows it."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


# Keys in order: an API server hands objects back with sorted keys, and texts must not differ by it.
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True, default=_plain
)


def _text(value: Any) -> str:
    """Write a value: a text as it is, everything else as compact JSON."""
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else str(_too_long())
    pieces = []
    size = 0
    try:
        for piece in _ENCODER.iterencode(value):  # piece by piece, to stop in time
            size += len(piece)
            if size > MAX_TEXT:
                _too_long()
            pieces.append(piece)
    except LimitExceededError:
        raise
    except RecursionError:
        raise LimitExceededError(f"{_kind(value)} is nested too deep to be written") from None
    except (TypeError, ValueError):
        raise EvaluationError(f"{_kind(value)} cannot be written as JSON") from None
    return "".join(pieces)


def _kind(value: object) -> str:
    """Name a value's type as JSON does."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list):
        return "a list"
    return "a mapping" if isinstance(value, Mapping) else "a value of no JSON type"


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
_CALLS: dict[str, Callable[..., Any]] = {
    "len": _len,
    "min": _extreme("min", min),
    "max": _extreme("max", max),
    "sum": _sum,
    "any": lambda value: any(_items(value, "any")),
    "all": lambda value: all(_items(value, "all")),
    "abs": lambda value: abs(_number(value, "abs")),
    "round": _round,
    "str": _text,
    "int": _int,
    "float": _float,
    "bool": bool,
}
_WALKING = frozenset({"min", "max", "sum", "any", "all"})
"""Functions that look at each item."""
