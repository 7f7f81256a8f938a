"""Which paths an expression reads, as far as its source says so."""

import ast
from collections.abc import Iterator
from typing import NamedTuple

from podium.expressions.syntax import ROOT_NAMES, children

__all__ = ["Reference", "literal_strings", "references_of"]


class Reference(NamedTuple):
    """A path that an expression reads, as far as its text has it."""

    path: tuple[str | int, ...]
    optional: bool = False
    """Whether it is inside default() or exists()."""
    computed: bool = False
    """Whether a computed index follows, so that the rest of the path is known only at run time."""


def references_of(node: ast.expr, *, optional: bool) -> Iterator[Reference]:
    """Return the paths that an expression reads; `optional`: it is guarded by default()."""
    found = _static_path(node)
    if found is not None:
        path, computed = found
        yield Reference(path, optional, computed)
        # The indexes of a dynamic path read something themselves.
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute | ast.Subscript):
            if isinstance(inner, ast.Subscript) and not isinstance(inner.slice, ast.Constant):
                yield from references_of(inner.slice, optional=optional)
            inner = inner.value
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "all_status":
            for name in literal_strings(node.args[0]):
                yield Reference(("nodes", name, "status"), optional)
            return
        guarded = node.func.id in ("default", "exists")
        for position, argument in enumerate(node.args):
            yield from references_of(argument, optional=optional or (guarded and position == 0))
        return
    for child in children(node):
        yield from references_of(child, optional=optional)


def literal_strings(node: ast.expr) -> list[str]:
    """Return the strings of a list that is written out."""
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else []
    return [str(item.value) for item in items if isinstance(item, ast.Constant)]


def _static_path(node: ast.expr) -> tuple[tuple[str | int, ...], bool] | None:
    """Return the path of `context.a['b'][0]`, up to its first computed index, if it has one."""
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
            return tuple(path), None in steps
        else:
            return None
