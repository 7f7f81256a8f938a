"""`${{ }}` where it would stay as it is written: refused, for its writer expects a value."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from pydantic import BaseModel

from podium import kinds
from podium.api.problems import Path, Problem, Severity
from podium.api.templates import TEMPLATE, not_filled_in
from podium.api.workflow import WorkflowSpec

__all__ = ["literal_templates"]

_SHOWN = frozenset({"title", "description", "owner", "tags", "version", "metadata"})
"""Fields that are only shown: their text may well speak of expressions."""
_ANNOTATIONS = frozenset({"title", "description", "$comment"})
"""Keys of schemas and the like that are read by people only."""
_CHECKED_APART = frozenset({"nodes", "edges", "executors", "outputs", "finally_"})
_EXPRESSIONS = frozenset({"condition", "when"})
"""Fields that are expressions: their own check refuses braces."""


def literal_templates(spec: WorkflowSpec, expandable: Container[Path]) -> Iterator[Problem]:
    """Find `${{` outside the configs of nodes; `expandable` are those that are checked."""
    for field in ("global_context", "constants", "inputs"):
        yield from _found(getattr(spec, field), (_alias(spec, field),))
    yield from _model(spec, (), {*_CHECKED_APART, "global_context", "constants", "inputs"})
    for place, node in spec.placed_nodes():
        found = _model(node, place, {"config", "nodes", "edges", "compensation"})
        if place in expandable:
            if node.pod is not None or node.resources is not None:
                filled = {(*place, *source.path) for source in kinds.of(node).expressions(node)}
                found = (problem for problem in found if problem.path not in filled)
            yield from _keys(node.config, (*place, "config"))
        yield from found
        for position, edge in enumerate(node.edges):
            yield from _model(edge, (*place, "edges", position), ())
    for position, edge in enumerate(spec.edges):
        yield from _model(edge, ("edges", position), ())


def _model(model: BaseModel, path: Path, leave: Iterable[str]) -> Iterator[Problem]:
    fields = model.__dict__
    names = model.model_fields_set.difference(leave, _EXPRESSIONS)
    for name in sorted([name for name in names if _may_hold_one(fields[name])]):
        here = (*path, _alias(model, name))
        yield from _found(fields[name], here, shown=name in _SHOWN)


def _may_hold_one(value: object) -> bool:
    """Return whether a look into a field's value is worth it: most are short strings."""
    if isinstance(value, str):
        return TEMPLATE in value
    if isinstance(value, list | tuple):
        return any(_may_hold_one(item) for item in value)
    return bool(value) and isinstance(value, BaseModel | Mapping)


def _alias(model: BaseModel, name: str) -> str:
    return type(model).model_fields[name].alias or name


def _found(value: object, path: Path, *, shown: bool = False) -> Iterator[Problem]:
    if isinstance(value, str):
        if TEMPLATE in value and shown:
            message = "${{ }} is not filled in here: it is shown as it is written"
            yield Problem(path, message, Severity.WARNING)
        elif TEMPLATE in value:
            yield Problem(path, not_filled_in(path))
    elif isinstance(value, BaseModel):
        yield from _model(value, path, ())
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key in _ANNOTATIONS and isinstance(item, str):
                continue
            if TEMPLATE in str(key):
                yield Problem((*path, str(key)), not_filled_in(path, is_key=True))
                if isinstance(item, str):  # one message for one line
                    continue
            yield from _found(item, (*path, str(key)), shown=shown)
    elif isinstance(value, Sequence):
        for position, item in enumerate(value):
            yield from _found(item, (*path, position), shown=shown)


def _keys(value: object, path: Path) -> Iterator[Problem]:
    """Find `${{` in the keys of a config, whose values are filled in."""
    if isinstance(value, str):
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if TEMPLATE in str(key):
                yield Problem((*path, str(key)), not_filled_in(path, is_key=True))
            yield from _keys(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _keys(item, (*path, position))
