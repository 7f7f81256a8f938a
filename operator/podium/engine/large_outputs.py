"""Large outputs: what the graph reads of them, which travels in the status beside the reference."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from podium import expressions

if TYPE_CHECKING:
    from podium.engine.plan import Plan, PlanNode

__all__ = ["LargeReads", "large_reads"]

_Path = tuple[str | int, ...]


class LargeReads(NamedTuple):
    """Fields of an output that the graph reads."""

    read: tuple[_Path, ...]
    """Those whose values expressions read."""
    present: tuple[_Path, ...]
    """Those that must be there: mappings and requiredFields."""


def large_reads(plan: "Plan") -> Mapping[str, LargeReads]:
    """Return what is read of each output that may be large.

    Whoever reads it, from however far, the path is the same; who may not is refused before.
    """
    read: dict[str, dict[_Path, None]] = {name: {} for name in plan.large_outputs}
    present: dict[str, dict[_Path, None]] = {name: {} for name in plan.large_outputs}
    for reference in _references(plan):
        root, *path = reference.path
        if root != "context":
            continue
        if not path:  # the whole context, outputs with it
            for paths in read.values():
                paths[()] = None
        elif path[0] in read:
            read[str(path[0])][tuple(path[1:])] = None
    for edge in plan.edges:
        if edge.source not in read:
            continue
        for condition in (edge.condition,) if edge.condition is not None else ():
            for reference in condition.references:  # a field of the source's output comes first
                root, *path = reference.path
                if root == "context" and path:
                    read[edge.source][tuple(path)] = None
        for mapped in edge.mapping:
            present[edge.source][_steps(mapped)] = None
    for node in plan.nodes.values():
        for field in node.required_fields:
            first, *rest = field.split(".")
            if first in present and rest:
                present[first][tuple(rest)] = None
    return {name: LargeReads(tuple(read[name]), tuple(present[name])) for name in read}


def _steps(path: str) -> _Path:
    return tuple(path.split("."))


def _references(plan: "Plan") -> Iterator[expressions.Reference]:
    for edge in plan.edges:
        if edge.condition is not None:
            yield from edge.condition.references
    for output in plan.outputs.values():
        yield from output.references
    for node in plan.nodes.values():
        yield from _of_node(node)


def _of_node(node: "PlanNode") -> Iterable[expressions.Reference]:
    if node.condition is not None:
        yield from node.condition.references
    for source in node.kind.expressions(node.definition):
        with suppress(expressions.ExpressionError):  # its node fails before it could read anything
            yield from source.references
