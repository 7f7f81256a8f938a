"""The seed's file format: `workflow:` at the top, snake_case fields; accepted as it is.

It becomes the same Workflow resource as the other format. Paths go back the same way, so that a
problem names the place in the seed's file.
"""

from typing import Any

from pydantic import BaseModel

from podium.api import names, shape
from podium.api.messages import unknown_field
from podium.api.problems import Path, Problem
from podium.api.resources import Workflow
from podium.api.workflow import EnvVar, WorkflowSpec

__all__ = ["is_seed", "resource", "seed_path", "to_resource"]

_TOP = "workflow"
_OF_METADATA = ("description", "owner", "tags")
"""Fields of a Workflow's spec that the seed keeps in `metadata`."""


def is_seed(data: object) -> bool:
    """Return whether a document is in the seed's format."""
    return isinstance(data, dict) and _TOP in data and not data.keys() & {"apiVersion", "kind"}


def to_resource(data: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the Workflow resource as plain data, and unknown fields by their seed path.

    `spec.id` keeps the id, `metadata.name` is made of it, the name becomes the title.
    """
    problems = [
        Problem((key,), f'unknown field "{key:.80}": this format has everything in workflow')
        for key in data
        if key != _TOP
    ]
    made: dict[str, Any] = {"apiVersion": names.API_VERSION, "kind": "Workflow", "metadata": {}}
    body = data[_TOP]
    if not isinstance(body, dict):
        # The model says what is wrong with it.
        return {**made, "metadata": {"name": "x"}, "spec": body}, problems
    body = dict(body)
    identifier = body.get("id")
    made["metadata"] = {"name": names.object_name(str(identifier))}
    if identifier is None:
        problems.append(Problem((_TOP, "id"), "is missing: give the workflow an id"))
    if "name" in body:
        if "title" in body:
            problems.append(_twice((_TOP, "title"), "workflow.name"))
        body["title"] = body.pop("name")
    metadata = body.get("metadata")
    if isinstance(metadata, dict):
        for key in _OF_METADATA:
            if key in metadata and key in body:
                problems.append(_twice((_TOP, key), f"workflow.metadata.{key}"))
            elif key in metadata:
                body[key] = metadata[key]
        rest = {key: value for key, value in metadata.items() if key not in _OF_METADATA}
        body["metadata"] = rest
        if not rest:
            del body["metadata"]
    made["spec"] = _camel(body, WorkflowSpec, (_TOP,), problems)
    nodes = _mappings(made["spec"].get("nodes"))
    for node in nodes:
        nodes += _mappings(node.get("nodes"))  # members of a group
        if isinstance(config := node.get("config"), dict) and "env" in config:
            node["config"] = {**config, "env": _env(config["env"])}
    return made, problems


def _env(variables: Any) -> Any:
    """Rename the fields of variables in a config, which is free-form but for these."""
    if not isinstance(variables, list):
        return variables
    return [_renamed(each, EnvVar) if isinstance(each, dict) else each for each in variables]


def _renamed(value: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    by_snake = {field.snake: field for field in shape.fields(model).values()}
    made = {}
    for key, item in value.items():
        field = by_snake.get(key)
        inner = field.model if field is not None else None
        is_model = inner is not None and isinstance(item, dict)
        made[field.alias if field is not None else key] = (
            _renamed(item, inner) if is_model and inner is not None else item
        )
    return made


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def seed_path(path: Path, data: dict[str, Any]) -> Path:
    """Return where the seed's file has what the resource has at `path`."""
    if path[:2] == ("metadata", "name"):
        return (_TOP, "id")
    if not path or path[0] != "spec":
        return (_TOP,)
    body = data.get(_TOP)
    rest = path[1:]
    if rest[:1] == ("title",) and isinstance(body, dict) and "name" in body:
        return (_TOP, "name")
    if rest[:1] and rest[0] in _OF_METADATA and isinstance(body, dict) and rest[0] not in body:
        return (_TOP, "metadata", *rest)
    back = [
        field.snake if field is not None else part
        for part, field, _ in shape.walk(WorkflowSpec, rest)
    ]
    return (_TOP, *back)


def resource(workflow: Workflow) -> dict[str, Any]:
    """Return a Workflow as `podium convert` prints it: what was written, nothing filled in."""
    dumped = workflow.model_dump(
        mode="json", by_alias=True, exclude_unset=True, exclude={"status": True}
    )
    return {"apiVersion": names.API_VERSION, "kind": Workflow.KIND, **dumped}


def _twice(path: Path, other: str) -> Problem:
    return Problem(path, f"says the same as {other}: remove one of them")


def _camel(
    value: dict[str, Any], model: type[BaseModel], path: Path, problems: list[Problem]
) -> dict[str, Any]:
    """Rename the fields of a model; what is free-form stays as it is."""
    by_snake = {field.snake: field for field in shape.fields(model).values()}
    made: dict[str, Any] = {}
    for key, item in value.items():
        field = by_snake.get(key)
        here = (*path, key)
        if field is None:
            problems.append(Problem(here, unknown_field(key, model, "snake")))
        elif field.model is None:
            made[field.alias] = item
        else:
            made[field.alias] = _inside(item, field, here, problems)
    return made


def _inside(item: Any, field: shape.FieldShape, path: Path, problems: list[Problem]) -> Any:
    model = field.model
    if model is None:
        return item
    if field.container == "list" and isinstance(item, list):
        return [
            _camel(entry, model, (*path, place), problems) if isinstance(entry, dict) else entry
            for place, entry in enumerate(item)
        ]
    if field.container == "dict" and isinstance(item, dict):
        return {
            key: _camel(entry, model, (*path, key), problems) if isinstance(entry, dict) else entry
            for key, entry in item.items()
        }
    if field.container is None and isinstance(item, dict):
        return _camel(item, model, path, problems)
    return item
