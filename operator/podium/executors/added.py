"""Executors of this installation: those that come with Podium, and entry points of packages.

An entry point of the group `podium.executors` is an Executor's spec as a mapping, or a function
that returns one; its name is the executor's. They are looked for once, and only where a node names
an executor that is not known otherwise: to look takes as long as a start of podium.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from podium.api.names import API_VERSION
from podium.api.problems import InvalidError, UserError
from podium.api.resources import ClusterExecutor
from podium.api.source.files import parse
from podium.executors import shipped
from podium.executors.custom import definition_problems

__all__ = ["GROUP", "body_of_package", "find", "names"]

GROUP = "podium.executors"


def find(name: str) -> ClusterExecutor | None:
    """Return an executor of this installation, None if it has none of the name.

    Raises `UserError`: a package's is not valid.
    """
    body = body_of_package(name)
    if body is not None:
        return _checked(name, body)
    if name in shipped.NAMES:
        return shipped.load(name)
    return None


def names() -> list[str]:
    """Return the names of all of them; nothing of a package is loaded."""
    return list(dict.fromkeys([*shipped.NAMES, *sorted(_points())]))


def body_of_package(name: str) -> dict[str, Any] | None:
    """Return an executor of a package as an object; None: no package has one of the name.

    Raises `UserError`: it cannot be loaded.
    """
    point = _points().get(name)
    if point is None:
        return None
    return {
        "apiVersion": API_VERSION,
        "kind": ClusterExecutor.KIND,
        "metadata": {"name": name},
        "spec": _loaded(point),
    }


@cache
def _points() -> dict[str, EntryPoint]:
    return {each.name: each for each in entry_points(group=GROUP)}


@cache
def _loaded(point: EntryPoint) -> dict[str, Any]:
    try:
        made = point.load()
        made = made() if callable(made) else made
    except Exception as error:  # a package's own code
        message = f"the executor {point.name} ({point.value}): {type(error).__name__}: {error}"
        raise UserError(message) from error
    if not isinstance(made, Mapping):
        message = f"the executor {point.name} ({point.value}) is not a mapping: it must be a spec"
        raise UserError(message)
    return dict(made)


def _checked(name: str, body: dict[str, Any]) -> ClusterExecutor:
    try:
        made = parse(body)
        assert isinstance(made, ClusterExecutor)  # noqa: S101 - its kind says so
        problems = list(definition_problems(made.spec))
        if problems:
            raise InvalidError(problems)
    except InvalidError as invalid:
        words = "; ".join(map(str, invalid.problems))
        raise UserError(f"the executor {name} of a package is not valid: {words}") from None
    return made
