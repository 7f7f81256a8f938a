"""`${{ }}` where it would stay as it is written: refused, for whoever writes it expects a value."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import BaseModel

from podium.api.problems import Path, Problem, Severity
from podium.api.workflow import Node, WorkflowSpec

__all__ = ["literal_templates"]

_ELSEWHERE = "write the value itself, or put the expression into config (of a node)"
_SHOWN = frozenset({"title", "description", "owner", "tags", "version", "metadata"})
"""Fields that are only shown: their text may well speak of expressions."""
_ANNOTATIONS = frozenset({"title", "description", "$comment"})
"""Keys of schemas and the like that are read by people only."""
_EXPRESSIONS = frozenset({"condition", "when"})
"""Fields that are expressions: their own check refuses braces."""


def literal_templates(spec: WorkflowSpec, expandable: Mapping[str, Node]) -> Iterator[Problem]:
    """Find `${{` outside the configs of nodes; `expandable` are the nodes that are checked."""
    for field, remedy in (
        ("global_context", "write the value itself, or fill it in where the key is read"),
        ("constants", "write the value itself, or fill it in where the key is read"),
        ("inputs", "a default is a value: fill it in where the key is read"),
    ):
        yield from _found(getattr(spec, field), (_alias(spec, field),), remedy)
    yield from _model(spec, (), {"nodes", "edges", "global_context", "constants", "inputs"})
    for position, node in enumerate(spec.nodes):
        yield from _model(node, ("nodes", position), {"config"})
        if expandable.get(node.id) is node:
            yield from _keys(node.config, ("nodes", position, "config"))
    for position, edge in enumerate(spec.edges):
        yield from _model(edge, ("edges", position), ())


def _model(model: BaseModel, path: Path, leave: Iterable[str]) -> Iterator[Problem]:
    fields = model.__dict__
    names = model.model_fields_set.difference(leave, _EXPRESSIONS)
    for name in sorted([name for name in names if _may_hold_one(fields[name])]):
        here = (*path, _alias(model, name))
        yield from _found(fields[name], here, _ELSEWHERE, shown=name in _SHOWN)


def _may_hold_one(value: object) -> bool:
    """Return whether a look into a field's value is worth it: most are short strings."""
    if isinstance(value, str):
        return "${{" in value
    if isinstance(value, list | tuple):
        return any(_may_hold_one(item) for item in value)
    return bool(value) and isinstance(value, BaseModel | Mapping)


def _alias(model: BaseModel, name: str) -> str:
    return type(model).model_fields[name].alias or name


def _found(value: object, path: Path, remedy: str, *, shown: bool = False) -> Iterator[Problem]:
    if isinstance(value, str):
        if "${{" in value and shown:
            message = "${{ }} is not filled in here: it is shown as it is written"
            yield Problem(path, message, Severity.WARNING)
        elif "${{" in value:
            if path[-4:-2] == ("pod", "env") or path[-3:-1] == ("pod", "env"):
                remedy = "put the variable into config.env of the node, where it is filled in"
            yield Problem(path, f"${{{{ }}}} is not filled in here: {remedy}")
    elif isinstance(value, BaseModel):
        yield from _model(value, path, ())
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key in _ANNOTATIONS and isinstance(item, str):
                continue
            if "${{" in str(key):
                yield Problem((*path, str(key)), f"${{{{ }}}} is not filled in in keys: {remedy}")
            yield from _found(item, (*path, str(key)), remedy, shown=shown)
    elif isinstance(value, Sequence):
        for position, item in enumerate(value):
            yield from _found(item, (*path, position), remedy, shown=shown)


def _keys(value: object, path: Path) -> Iterator[Problem]:
    """Find `${{` in the keys of a config, whose values are filled in."""
    if isinstance(value, str):
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if "${{" in str(key):
                message = "${{ }} is filled in in values, not in keys: write the key itself"
                yield Problem((*path, str(key)), message)
            yield from _keys(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _keys(item, (*path, position))
