"""`${{ }}` in what a node says of its Pod: amounts, values of variables, names of what it mounts.

Names of Secrets are not among them: an output, which may be a model's answer, must not choose which
Secret a node gets.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from podium import expressions
from podium.api.field_checks import no_object_name
from podium.api.names import is_object_name
from podium.api.pod import PodOverrides, Resources
from podium.api.pod_checks import check_resources
from podium.api.problems import Path, Problem, format_path
from podium.api.workflow import Node
from podium.errors import PodiumError

__all__ = ["Fields", "PodFieldError", "fill", "pod_templates", "with_fields"]

Fields = Mapping[str, str]
"""What was filled in, by the path of the field from the node on: `resources.limits.memory`."""

_NAMES = (
    ("persistent_volume_claim", "persistentVolumeClaim", "claimName"),
    ("config_map", "configMap", "name"),
)
"""Sources of volumes, as the model and users have them, and where they name an object."""


class PodFieldError(PodiumError, ValueError):
    """A field is not valid with its templates filled in; the message names it."""


def pod_templates(node: Node) -> Iterator[tuple[Path, str]]:
    """Return the strings that are filled in when the node starts, with their paths."""
    if node.resources is not None:
        for kind in ("requests", "limits"):
            for name, amount in getattr(node.resources, kind).items():
                if isinstance(amount, str) and expressions.has_template(amount):
                    yield ("resources", kind, name), amount
    if node.pod is None:
        return
    for position, variable in enumerate(node.pod.env):
        if variable.value is not None and expressions.has_template(variable.value):
            yield ("pod", "env", position, "value"), variable.value
    for position, volume in enumerate(node.pod.volumes):
        for field, outside, key in _NAMES:
            name = (getattr(volume, field) or {}).get(key)
            if isinstance(name, str) and expressions.has_template(name):
                yield ("pod", "volumes", position, outside, key), name


def fill(node: Node, names: Callable[[], Mapping[str, Any]]) -> Fields:
    """Fill in the templates; `names` makes what they know.

    Raises `PodFieldError`, `ExpressionError`.
    """
    fields = {}
    for path, text in pod_templates(node):
        try:
            fields[_key(path)] = expressions.parse_template(text).render(names())
        except expressions.ExpressionError as error:
            raise expressions.ExpressionError(f"{format_path(path)}: {error}") from None
    if fields and (problems := list(_problems(node, fields))):
        raise PodFieldError("; ".join(str(problem) for problem in problems))
    return fields


def with_fields(node: Node, fields: Fields) -> Node:
    """Return a node with what was filled in."""
    if not fields:
        return node
    changes: dict[str, Any] = {}
    for field, model in (("resources", Resources), ("pod", PodOverrides)):
        part = getattr(node, field)
        if part is not None:
            document = part.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for path, _ in pod_templates(node):
                if path[0] == field:
                    _put(document, path[1:], fields[_key(path)])
            changes[field] = model.model_validate(document)
    return node.model_copy(update=changes)


def _problems(node: Node, fields: Fields) -> Iterator[Problem]:
    for path, _ in pod_templates(node):
        if path[1] == "volumes" and not is_object_name(value := fields[_key(path)]):
            yield Problem(path, f"filled in, {no_object_name(value)}")
    try:
        filled = with_fields(node, fields)
    except ValueError:  # the only rule of these types
        yield Problem(("pod", "env"), "filled in, a value has more than 32768 characters")
        return
    if filled.resources is not None:
        for problem in check_resources(("resources",), filled.resources):
            yield Problem(problem.path, f"filled in, it {problem.message}")


def _key(path: Path) -> str:
    return format_path(path)


def _put(document: Any, path: Path, value: str) -> None:
    for part in path[:-1]:
        document = document[part]
    document[path[-1]] = value
