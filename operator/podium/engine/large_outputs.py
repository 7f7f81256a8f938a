"""Large outputs: what the graph reads of them, which travels in the status beside the reference."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    for viewer, reference in _references(plan):
        root, *path = reference.path
        if root != "context":
            continue
        if not path:  # the whole context, outputs with it
            for paths in read.values():
                paths[()] = None
            continue
        for node, rest in _outputs_at(plan, plan.dag.resolve(viewer, str(path[0])), path[1:]):
            read[node][rest] = None
    for edge in plan.edges:
        for condition in (edge.condition,) if edge.condition is not None else ():
            for reference in condition.references:  # a field of the source's output comes first
                root, *path = reference.path
                if root == "context" and path:
                    for node, rest in _outputs_at(plan, edge.source, path):
                        read[node][rest] = None
        for mapped in edge.mapping:
            for node, rest in _outputs_at(plan, edge.source, mapped.split(".")):
                present[node][rest] = None
    for planned in plan.nodes.values():
        for field in planned.required_fields:
            first, *steps = field.split(".")
            found = plan.dag.resolve(planned.id, first)
            for node, rest in _outputs_at(plan, found, steps) if steps else ():
                present[node][rest] = None
    return {name: LargeReads(tuple(read[name]), tuple(present[name])) for name in read}


def _outputs_at(plan: "Plan", node: str, path: Sequence[str | int]) -> Iterator[tuple[str, _Path]]:
    """Return large outputs that a path into the output of a node leads to, with what is left.

    The output of a group holds those of its members.
    """
    if node in plan.large_outputs:
        yield node, tuple(path)
    elif node in plan.members:
        if path:
            yield from _outputs_at(plan, f"{node}.{path[0]}", path[1:])
            return
        for member in plan.members[node]:
            yield from _outputs_at(plan, member, ())


def _references(plan: "Plan") -> Iterator[tuple[str | None, expressions.Reference]]:
    """Return what is read, with the node where it is; None: by the run."""
    for edge in plan.edges:
        if edge.condition is not None:
            for reference in edge.condition.references:
                yield edge.source, reference
    for output in plan.outputs.values():
        for reference in output.references:
            yield None, reference
    for node in plan.nodes.values():
        for reference in _of_node(node):
            yield node.id, reference


def _of_node(node: "PlanNode") -> Iterable[expressions.Reference]:
    if node.condition is not None:
        yield from node.condition.references
    for source in node.kind.expressions(node.definition):
        with suppress(expressions.ExpressionError):  # its node fails before it could read anything
            yield from source.references
