"""Validation errors of pydantic, reworded for the person who wrote the file.

A message names what is wrong and what would be right; `Problem` adds where.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from podium.api import shape
from podium.api.problems import Path, Problem
from podium.api.run import WorkflowRunSpec
from podium.api.workflow import (
    Defaults,
    Node,
    PodOverrides,
    TriggerRule,
    WorkflowSpec,
)

__all__ = ["given", "not_a_string", "translate", "unknown_field", "unwritten"]

_LATER: dict[type[BaseModel], frozenset[str]] = {
    WorkflowRunSpec: frozenset({"mocks"}),
}
_ELSEWHERE: dict[type[BaseModel], list[tuple[str, type[BaseModel]]]] = {
    WorkflowSpec: [
        ("a node, or to defaults", Defaults),
        ("a node", Node),
        ("a run", WorkflowRunSpec),
    ],
    Node: [
        ("the workflow's spec", WorkflowSpec),
        ("the node's pod", PodOverrides),
        ("a run", WorkflowRunSpec),
    ],
    WorkflowRunSpec: [("the Workflow's spec", WorkflowSpec)],
}
_OF_OTHERS: dict[type[BaseModel], dict[str, str]] = {
    Node: {
        **dict.fromkeys(("needs", "depends", "dependencies", "runAfter"), "dependsOn"),
        **dict.fromkeys(("when", "if"), "condition"),
        **dict.fromkeys(("retries", "retry", "retryStrategy"), "retryPolicy"),
        **dict.fromkeys(("withItems", "withParam", "matrix"), "forEach"),
        **dict.fromkeys(("timeout", "activeDeadlineSeconds"), "timeoutSeconds"),
        "continueOnError": "allowFailure",
    },
    Defaults: {"timeout": "timeoutSeconds", "retries": "retryPolicy"},
    WorkflowSpec: {"timeout": "timeoutSeconds", "onExit": "finally", "tasks": "nodes"},
}
"""Fields of other tools, with the one that means the same here."""
_RENAMED: dict[type[Enum], dict[str, str]] = {
    TriggerRule: {"AllCompleted": "AllSuccess", "AnyCompleted": "OneSuccess"},
}
"""Names in version 0.1.0, with the present ones."""

Wording = Callable[[Path], str | None]
"""How the plain scalar at a path was written, `yes` for true."""


def unwritten(_: Path) -> None:
    """Return no wording: the object comes from no file."""
    return


def translate(
    error: ValidationError,
    model: type[BaseModel],
    wording: Wording = unwritten,
    style: Literal["camel", "snake"] = "camel",
) -> list[Problem]:
    """Return a problem for each place that pydantic refused, in the order of the document."""
    found: dict[Path, Problem] = {}
    for detail in error.errors(include_url=False):
        path, name = _place(model, tuple(detail["loc"]))
        if path not in found:
            again = partial(_message, detail, model, path, name, style=style)
            found[path] = Problem(path, again(wording(path)), reworded=again)
    return list(found.values())


def unknown_field(
    name: str, model: type[BaseModel], style: Literal["camel", "snake"] = "camel"
) -> str:
    """Report that a model has no such field, and which one was probably meant."""
    shapes = shape.fields(model).values()
    later = _LATER.get(model, frozenset())
    if _camel(name) in later:
        return f'unknown field "{_plain(name)}": it comes in a later version'
    known = [each.snake if style == "snake" else each.alias for each in shapes]
    same = shape.closest(name, known, cutoff=1)
    for where, other in () if same else _ELSEWHERE.get(model, ()):
        elsewhere = shape.fields(other).values()
        names = [each.snake if style == "snake" else each.alias for each in elsewhere]
        if meant := shape.closest(name, names, cutoff=1):
            return f'unknown field "{_plain(name)}": "{meant}" belongs to {where}'
    if meant := _OF_OTHERS.get(model, {}).get(_camel(name)):
        return f'unknown field "{_plain(name)}": write "{meant}" for that'
    if close := same or shape.closest(name, known):
        return f'unknown field "{_plain(name)}"; did you mean "{close}"?'
    return f'unknown field "{_plain(name)}"; known are {", ".join(known)}'


def given(value: Any, written: str | None = None) -> str:
    """Describe a value in plain words: `the string 'three'`, `a list`."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, str):
        shown = value if len(value) <= 60 else value[:57] + "..."
        return f"the string {shown!r}"
    if isinstance(value, bool):
        return f"the boolean {written or str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {(written or str(value))[:40]}"
    return "a list" if isinstance(value, list | tuple) else "a mapping"


def not_a_string(value: Any, written: str | None = None) -> str:
    """Report that something is not a string; `written`: how it stands in the source."""
    return f"must be a string, not {given(value, written)}" + _hint("string_type", value, written)


def _place(model: type[BaseModel], loc: tuple[Any, ...]) -> tuple[Path, str]:
    """Return the path without pydantic's own parts (members of unions), and the last name."""
    path: list[str | int] = []
    here: type[BaseModel] | None = model
    container: shape.FieldShape | None = None
    for part in loc:
        if container is not None:
            path.append(part)
            here, container = container.model, None
        elif here is not None:
            path.append(part)
            field = shape.fields(here).get(str(part))
            if field is None or field.container is None:
                here = field.model if field else None
            else:
                here, container = None, field
    names = [part for part in path if isinstance(part, str)]
    return tuple(path), names[-1] if names else ""


def _message(
    detail: ErrorDetails,
    model: type[BaseModel],
    path: Path,
    name: str,
    written: str | None,
    style: Literal["camel", "snake"],
) -> str:
    kind, value = detail["type"], detail["input"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    if kind == "extra_forbidden":
        parent = shape.model_at(model, path[:-1])
        return unknown_field(name, parent or model, style)
    if kind == "missing":
        return _missing(name, written)
    if kind in ("enum", "literal_error"):
        return _enum(detail, model, path, written)
    if _is_quantity(path):
        return _quantity(value, written)
    if path[-1:] == ("allowedFailures",):
        wanted = "a number of items, or a percentage such as 10%"
        return f"must be {wanted}, not {given(value, written)}"
    if name == "forEach" and isinstance(value, list):
        return "must be a string, not a list: write it in quotes, as an expression is"
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, not {given(value, written)}" + _hint(kind, value, written)
    if kind in _LIMITS:
        return _limit(kind, context, value, written)
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    return detail["msg"]


def _is_quantity(path: Path) -> bool:
    return len(path) > 2 and path[-3] == "resources" and path[-2] in ("requests", "limits")


def _quantity(value: Any, written: str | None) -> str:
    message = f"must be a quantity such as 500m, 1Gi or 2, not {given(value, written)}"
    if isinstance(value, float):
        message += f': write "{written or value}" in quotes'
    return message


_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _hint(kind: str, value: Any, written: str | None) -> str:
    """Return what would be right, where that is known."""
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f': write "{written or str(value).lower()}" in quotes'
    if kind == "list_type" and isinstance(value, Mapping) and value:
        return ": begin each entry with -"
    if (
        kind in ("dict_type", "model_type", "model_attributes_type")
        and value
        and isinstance(value, list)
    ):
        return ": write KEY: value, without -"
    if kind == "list_type" and isinstance(value, str | int | float):
        shown = written if written is not None else value
        if isinstance(value, bool):
            shown = f'"{written or str(value).lower()}"'
        return f": write [{_plain(str(shown))}]" if len(str(shown)) < 60 else ""
    if isinstance(value, str) and kind.startswith(("int", "float")):
        stripped = value.strip().replace(".", "", 1).removeprefix("-")
        if stripped.isascii() and stripped.isdigit():
            return ": remove the quotes"
        if kind == "float_type" and stripped[:-1].isdigit() and stripped[-1:] in "smhd":
            return ": write it in seconds, without a unit"
    if kind.startswith("bool") and isinstance(value, str) and value.lower() in ("true", "false"):
        return ": remove the quotes"
    if value is None:
        quoted = ""
        if written and written.isalpha():
            quoted = f', or write "{written}" in quotes for the string'
        return f": leave it out, or give it a value{quoted}"
    return ""


_LIMITS = {
    "greater_than_equal": ("must be at least {}", "ge"),
    "greater_than": ("must be greater than {}", "gt"),
    "less_than_equal": ("must be at most {}", "le"),
    "less_than": ("must be less than {}", "lt"),
    "string_too_short": ("must have at least {} character", "min_length"),
    "string_too_long": ("must have at most {} characters", "max_length"),
    "too_short": ("must have at least {} entry", "min_length"),
    "too_long": ("must have at most {} entries", "max_length"),
}


def _limit(kind: str, context: Mapping[str, Any], value: Any, written: str | None) -> str:
    words, key = _LIMITS[kind]
    limit = context.get(key, 0)
    whole = isinstance(limit, float) and limit.is_integer()
    message = words.format(f"{int(limit) if whole else limit:,}")
    if isinstance(value, int | float):
        return f"{message}, not {(written or str(value))[:40]}"
    if isinstance(value, list | dict | str) and kind.endswith("long"):
        return f"{message}, and has {len(value):,}"
    return message + (", and is empty" if not value else "")


def _missing(name: str, written: str | None) -> str:
    if written and written.isalpha():  # a null in the source, which counts as left out
        return f'is missing: {written} means null, write "{written}" in quotes for the string'
    wanted = {
        "apiVersion": "write apiVersion: podium.dev/v1alpha1",
        "kind": "write kind: Workflow or kind: WorkflowRun",
        "spec": "it holds all that you ask for",
        "nodes": "a workflow has at least one node",
        "id": "give the node an id",
        "from": "name the node that comes first",
        "to": "name the node that follows",
    }
    return "is missing" + (f": {wanted[name]}" if name in wanted else "")


def _enum(detail: ErrorDetails, model: type[BaseModel], path: Path, written: str | None) -> str:
    value = detail["input"]
    parent = shape.model_at(model, path[:-1])
    field = shape.fields(parent).get(str(path[-1])) if parent is not None and path else None
    if field is not None and field.enum is not None:
        known = [str(member.value) for member in field.enum]
    else:
        expected = str(detail.get("ctx", {}).get("expected", ""))  # 'a', 'b' or 'c'
        known = re.findall("'([^']*)'", expected) or [expected]
    renamed = _RENAMED.get(field.enum, {}) if field is not None and field.enum is not None else {}
    if isinstance(value, str) and value in renamed:
        return f"{value!r} of version 0.1.0 is now {renamed[value]}: write {renamed[value]}"
    wanted = f"one of {', '.join(known)}" if len(known) > 1 else known[0]
    message = f"must be {wanted}, not {given(value, written)}"
    close = shape.closest(value, known) if isinstance(value, str) and len(known) > 1 else None
    return message + (f"; did you mean {close}?" if close else "")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _plain(text: str) -> str:
    """Show a string of unknown origin on one line, without control characters."""
    shown = text if len(text) <= 80 else text[:77] + "..."
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)
