"""Which paths an expression reads, as far as its source says so."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from podium.expressions.syntax import ROOT_NAMES, children

__all__ = ["Reference", "references_of"]


@dataclass(frozen=True, slots=True)
class Reference:
    """A path that an expression reads, as far as it stands in its text."""

    path: tuple[str | int, ...]
    optional: bool = False
    """Whether it stands inside default() or exists()."""


def references_of(node: ast.expr, *, optional: bool) -> Iterator[Reference]:
    """Return the paths that an expression reads; `optional`: it is guarded by default()."""
    path = _static_path(node)
    if path is not None:
        yield Reference(path, optional)
        # The indexes of a dynamic path read something themselves.
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute | ast.Subscript):
            if isinstance(inner, ast.Subscript) and not isinstance(inner.slice, ast.Constant):
                yield from references_of(inner.slice, optional=optional)
            inner = inner.value
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        guarded = node.func.id in ("default", "exists")
        for position, argument in enumerate(node.args):
            yield from references_of(argument, optional=optional or (guarded and position == 0))
        return
    for child in children(node):
        yield from references_of(child, optional=optional)


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
