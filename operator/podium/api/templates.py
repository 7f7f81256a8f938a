"""`${{ }}` in fields that are taken as they are written: one message for all checks."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from podium.api.problems import Path, Problem

__all__ = ["TEMPLATE", "not_filled_in", "strings", "templates_named"]

TEMPLATE = "${{"
"""How a template begins."""

_DEFAULT = "write the value itself, or put the expression into config (of a node)"
_READ_ELSEWHERE = "write the value itself, or fill it in where the key is read"
_REMEDIES = {
    "globalContext": _READ_ELSEWHERE,
    "constants": _READ_ELSEWHERE,
    "inputs": "a default is a value: fill it in where the key is read",
}
_PREFIX = ("spec", "workflowSpec")
_EXPRESSIONS = ("condition", "when")
"""Fields that are expressions: their own check refuses braces."""


def strings(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Return the strings in a value of JSON, keys left out, with their paths below `path`."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from strings(item, (*path, position))


def not_filled_in(path: Path, *, is_key: bool = False) -> str:
    """Return what is wrong with a template at a path, or in the key that ends it."""
    if is_key:
        return "${{ }} is not filled in here, in a key: write the key itself"
    field = next((part for part in path if part not in _PREFIX), None)
    remedy = _REMEDIES.get(str(field), _DEFAULT)
    if "defaults" in path and ("resources" in path or "pod" in path):
        remedy = "write it at the node, in its own resources or pod"
    elif any(part in path for part in ("secretName", "secretKeyRef", "secret")):
        remedy = "write the name itself, so that no value chooses which Secret a node gets"
    return f"${{{{ }}}} is not filled in here: {remedy}"


def templates_named(problems: Iterable[Problem], data: Any) -> list[Problem]:
    """Return the problems of an object; one caused by a template says so.

    A template keeps most of the rules of a field, so the words of a rule name no remedy.
    """
    found = []
    for problem in problems:
        path = problem.path
        if path and isinstance(path[-1], str) and TEMPLATE in path[-1]:
            message = not_filled_in(path, is_key=True)
        elif path and path[-1] not in _EXPRESSIONS and TEMPLATE in _string_at(data, path):
            message = not_filled_in(path)
        else:
            found.append(problem)
            continue
        found.append(replace(problem, message=message, reworded=None))
    return list(dict.fromkeys(found))


def _string_at(data: Any, path: Path) -> str:
    """Return the string at a path; empty: there is none."""
    for part in path:
        if isinstance(data, Mapping):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return ""
    return data if isinstance(data, str) else ""
