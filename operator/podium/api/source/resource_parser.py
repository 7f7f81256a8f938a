"""The resource that a document holds, or all that keeps it from being one."""

from dataclasses import replace
from typing import Any

import orjson
from pydantic import ValidationError

from podium.api import checks, names, seed
from podium.api.messages import Wording, given, translate, unwritten
from podium.api.problems import Path, Problem, errors
from podium.api.resources import (
    ArtifactStore,
    ClusterExecutor,
    ContractSchema,
    Executor,
    ModelConfig,
    Persona,
    Workflow,
    WorkflowRun,
)
from podium.api.shape import closest
from podium.api.source.documents import Document, Resource
from podium.api.templates import templates_named

__all__ = ["parse_document"]

_Model = (
    type[Workflow]
    | type[WorkflowRun]
    | type[Executor]
    | type[ClusterExecutor]
    | type[ArtifactStore]
    | type[ContractSchema]
    | type[Persona]
    | type[ModelConfig]
)
_MODELS: dict[str, _Model] = {
    "Workflow": Workflow,
    "WorkflowRun": WorkflowRun,
    "Executor": Executor,
    "ClusterExecutor": ClusterExecutor,
    "ArtifactStore": ArtifactStore,
    "ContractSchema": ContractSchema,
    "Persona": Persona,
    "ModelConfig": ModelConfig,
}


def parse_document(document: Document) -> list[Problem]:
    """Make the document's resource, or say why it has none."""
    data = document.raw
    found: list[Problem] = []
    style: Any = "camel"
    if document.is_seed:
        data, unknown = seed.to_resource(data)
        found += [replace(each, line=document.source_map.find(each.path)[0]) for each in unknown]
        style = "snake"
        model: _Model = Workflow
    else:
        kind, problems = _kind(data)
        if kind is None:
            return problems
        model = kind
        # What the operator wrote is not a part of what the user asks for.
        data = {key: value for key, value in data.items() if key != "status"}
    wording: Wording = document.written if document.source_map.keys is not None else unwritten
    try:
        made = _validate(data, model)
    except ValidationError as error:
        problems = translate(error, model, wording, style)
        document.refused = [problem.path for problem in problems]
        document.remainder = _without(data, document.refused, model)
        if document.remainder is not None:
            more = _checked(document.remainder)
            problems += [each for each in more if not document.overlaps(each.path)]
        return found + _named(problems, data)
    found += _named(_checked(made), data)
    if errors(found):
        document.remainder = made
    else:
        document.resource = made
    return found


def _named(problems: list[Problem], data: dict[str, Any]) -> list[Problem]:
    """Name `${{ }}` where none is filled in; in an Executor all strings of the template are."""
    is_executor = data.get("kind") in (Executor.KIND, ClusterExecutor.KIND)
    return problems if is_executor else templates_named(problems, data)


def _checked(resource: Resource) -> list[Problem]:
    if isinstance(resource, Workflow):
        return checks.check_workflow(resource)
    if isinstance(resource, WorkflowRun):
        return checks.check_run(resource)
    if isinstance(resource, ContractSchema):
        return checks.check_contract_schema_resource(resource)
    if isinstance(resource, ArtifactStore):
        return checks.check_artifact_store_resource(resource)
    if isinstance(resource, Persona):
        return checks.check_persona_resource(resource)
    if isinstance(resource, ModelConfig):
        return checks.check_model_config_resource(resource)
    return checks.check_executor_resource(resource)


def _without(data: dict[str, Any], refused: list[Path], model: _Model) -> Resource | None:
    """Return what is left of an object; None where it makes no sense without what is refused."""
    left = orjson.loads(orjson.dumps(data))
    for path in refused:
        if _stand_in(left, path):
            continue
        *parents, last = path or ("",)
        while isinstance(last, int) and parents:  # positions in lists must stay as they are
            *parents, last = parents
        if last in ("nodes", "finally", "edges", "spec", "workflowSpec"):
            return None
        where: Any = left
        for part in parents:
            where = _at(where, part)
        if isinstance(where, dict):
            where.pop(last, None)
    try:
        return _validate(left, model)
    except ValidationError:
        return None


def _stand_in(left: Any, path: Path) -> bool:
    """Put another node where one is refused as a whole: the positions of the rest must stay."""
    place = next((i for i, part in enumerate(path) if part in ("nodes", "finally")), None)
    if place is None or len(path) < place + 2 or path[place + 2 :] not in ((), ("id",)):
        return False
    where = left
    for part in path[: place + 1]:
        where = _at(where, part)
    position = path[place + 1]
    if not isinstance(where, list) or not isinstance(position, int) or position >= len(where):
        return False
    name = f"refused_{path[place]}_{position}"
    if isinstance(where[position], dict) and path[place + 2 :]:
        where[position]["id"] = name
    else:
        where[position] = {"id": name, "executor": "script", "config": {"script": ":"}}
    return True


def _at(value: Any, part: str | int) -> Any:
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):
        return None


def _validate(data: dict[str, Any], model: _Model) -> Resource:
    """Validate strictly; a null where a field has a type is a field left out, as on the server."""
    try:
        return _strictly(data, model)
    except ValidationError as error:
        nulls = [
            detail["loc"]
            for detail in error.errors(include_url=False)
            if detail["input"] is None and detail["loc"] and isinstance(detail["loc"][-1], str)
        ]
        if not nulls:
            raise
    data = orjson.loads(orjson.dumps(data))
    for loc in nulls:
        parent: Any = data
        for part in loc[:-1]:
            parent = parent[part]
        if isinstance(parent, dict):
            parent.pop(loc[-1], None)
    return _strictly(data, model)


def _strictly(data: dict[str, Any], model: _Model) -> Resource:
    # By way of JSON: pydantic's strict mode then takes strings for enums, and nothing else.
    raw = orjson.dumps(data)
    return model.model_validate_json(raw, strict=True, by_alias=True, by_name=False)


def _kind(data: dict[str, Any]) -> tuple[_Model | None, list[Problem]]:
    """Return the model of an object; None and no problem for other API groups."""
    version, kind = data.get("apiVersion"), data.get("kind")
    for name, value in (("apiVersion", version), ("kind", kind)):
        if value is not None and not isinstance(value, str):
            return None, [Problem((name,), f"must be a string, not {given(value)}")]
    known = " or ".join(_MODELS)
    if not version and not kind:
        return None, [
            Problem(
                (),
                f"has no apiVersion and kind: write apiVersion: {names.API_VERSION} and kind:"
                f" {known} (or the format with workflow: at the top)",
            )
        ]
    if not kind:
        return None, [Problem((), f"has no kind: write kind: {known}")]
    if not version:
        return None, [Problem((), f"has no apiVersion: write apiVersion: {names.API_VERSION}")]
    assert isinstance(version, str)  # noqa: S101 - for mypy
    assert isinstance(kind, str)  # noqa: S101 - for mypy
    if version.partition("/")[0].lower() != names.GROUP:
        close = closest(version, [names.API_VERSION])
        if kind in _MODELS and close:
            return None, [_version(version)]
        return None, []
    if version != names.API_VERSION:
        return None, [_version(version)]
    if kind in _MODELS:
        return _MODELS[kind], []
    close = closest(kind, _MODELS)
    hint = f"; did you mean {close}?" if close else ""
    message = f"unknown kind {kind!r:.60} of {names.GROUP}: must be {known}{hint}"
    return None, [Problem(("kind",), message)]


def _version(version: str) -> Problem:
    return Problem(("apiVersion",), f"must be {names.API_VERSION}, not {version!r:.60}")
