"""What was probably meant by people who know another language."""

import ast
import keyword
import re

from podium.expressions.errors import NotInLanguageError

__all__ = ["hint", "meant_as_hyphen", "without_braces"]

_HINTS = [
    (re.compile(rf"\.\s*({'|'.join(keyword.kwlist)})\b"), "write ['{}'] for a key of that name"),
    (re.compile(r"\.(\w+(?:-\w+)*-\d\w*)"), "a name with a hyphen is written ['{}']"),
    (re.compile(r"&&"), "write and"),
    (re.compile(r"\|\|"), "write or"),
    (re.compile(r"\b(AND|OR|NOT)\b"), "and, or, not are lower case"),
    (re.compile(r"===|(?<![=!<>:])=(?!=)"), "write == to compare"),
    (re.compile(r"!(?!=)"), "write not"),
]
"""What users of other languages write, with what it is in this one."""


_STRINGS = re.compile(r"'[^']*'|\"[^\"]*\"")
_BRACES = re.compile(r"\$\{\{\s*(.*?)\s*\}\}|'[^']*'|\"[^\"]*\"", re.DOTALL)


def hint(source: str) -> str:
    """Guess what was meant where the parser says no more than `invalid syntax`."""
    outside = _STRINGS.sub("''", source)
    for pattern, hint in _HINTS:
        if found := pattern.search(outside):
            return ": " + hint.format(found.group(found.re.groups))
    return ""


def without_braces(source: str) -> str | None:
    """Return an expression without the `${{ }}` around it or in it; None where there are none."""
    if "${{" not in _STRINGS.sub("''", source):
        return None
    return _BRACES.sub(
        lambda found: found.group() if found.group(1) is None else found.group(1), source
    )


def meant_as_hyphen(node: ast.BinOp) -> None:
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
    raise NotInLanguageError(
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
